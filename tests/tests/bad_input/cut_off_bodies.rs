//! Incomplete bodies: a client that gets an answer gets a 4xx, and nothing of the request is
//! stored.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::wire::Wire;
use reqwest::Method;
use serde_json::{Value, json};

/// More than one staged chunk, so that rows exist when the body breaks off.
const LINES: usize = 2500;
const KEY: &str = "nightly-7";

#[tokio::test]
async fn cut_off_body_leaves_nothing() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let whole: String = (0..LINES)
        .map(|i| format!("{}\n", upsert("ok", &format!("p{i}"))))
        .collect();
    // The body breaks off within a line, and after a complete line.
    let middle = &whole[..whole.len() - 40];
    let behind_a_line = &whole[..whole.len() - whole.lines().last().unwrap().len() - 1];
    for part in [middle, behind_a_line] {
        for framing in [Framing::Length(whole.len()), Framing::Chunked] {
            let answer = break_off(&rest, &framing, part).await?.answer().await;
            // A server may answer an incomplete request, but does not have to (RFC 9112, section
            // 8).
            assert!(
                answer.is_empty()
                    || (answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"body_cut_off\"")),
                "{framing:?}: {answer}"
            );
            nothing_is_there(&rest).await?;
        }
    }
    // A disconnected client gets no answer. The key is free when the host has noticed.
    drop(break_off(&rest, &Framing::Chunked, middle).await?);
    let accepted = loop {
        let request = rest
            .request(Method::POST, "/v1/bulk")
            .header("content-type", "application/x-ndjson")
            .header("idempotency-key", KEY);
        let answer = rest.send(request.body(whole.clone())).await?;
        if answer.status != 409 {
            break answer.expect(202)?.json;
        }
    };
    assert_eq!(accepted["counts"]["total"], LINES);
    let done = follow::until_done(&rest, &accepted).await?;
    assert_eq!(done["counts"]["succeeded"], LINES, "{done:#}");
    let executions: Value = rest.get("/v1/executions").await?;
    assert_eq!(
        executions["items"].as_array().map(Vec::len),
        Some(1),
        "more than the complete request: {executions:#}"
    );
    Ok(())
}

#[tokio::test]
async fn refusal_reaches_a_sending_client() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    // More than the buffers hold, with a refusal due after the first line.
    let lines: String = (0..100_000)
        .map(|i| format!("{}\n", upsert("ok", &format!("p{i}"))))
        .collect();
    let body = format!("nonsense\n{lines}");
    for (rest, kind, status) in [
        (rest.clone(), "application/x-ndjson", 400),
        (rest.clone(), "text/csv", 415),
        (rest.with_key(None), "application/x-ndjson", 401),
    ] {
        let request = rest
            .request(Method::POST, "/v1/bulk")
            .header("content-type", kind);
        let answer = rest
            .send(request.body(body.clone()))
            .await?
            .expect(status)?;
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // A client that expects `100 Continue` is refused before it sends the body.
    let fields = [
        ("Content-Type", "application/x-ndjson"),
        ("Content-Length", "10000000"),
        ("Expect", "100-continue"),
    ];
    let answer = Wire::post(&rest.with_key(None), "/v1/bulk", &fields)
        .await?
        .answer()
        .await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    nothing_is_there(&rest).await
}

#[tokio::test]
async fn stalled_body_times_out() -> Result<()> {
    let host = hostile::start(
        "[server.api]\nbody_timeout_ms = 300\n",
        &[HostileChannel::new("ok")],
    )
    .await?;
    let rest = host.rest()?;
    let fields = [
        ("Content-Type", "application/x-ndjson"),
        ("Transfer-Encoding", "chunked"),
    ];
    let mut wire = Wire::post(&rest, "/v1/bulk", &fields).await?;
    wire.send_chunk(format!("{}\n", upsert("ok", "p0")).as_bytes())
        .await?;
    let answer = wire.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("api.body_timeout_ms"),
        "{answer}"
    );
    nothing_is_there(&rest).await
}

#[derive(Debug)]
enum Framing {
    /// The `Content-Length`.
    Length(usize),
    /// A chunked body without its last chunk.
    Chunked,
}

/// Sends a part of a body and stops.
async fn break_off(rest: &Rest, framing: &Framing, part: &str) -> Result<Wire> {
    let length;
    let framed = match framing {
        Framing::Length(announced) => {
            length = announced.to_string();
            ("Content-Length", length.as_str())
        }
        Framing::Chunked => ("Transfer-Encoding", "chunked"),
    };
    let mut wire = Wire::post(
        rest,
        "/v1/bulk",
        &[
            ("Content-Type", "application/x-ndjson"),
            ("Idempotency-Key", KEY),
            framed,
        ],
    )
    .await?;
    match framing {
        Framing::Length(_) => wire.send(part.as_bytes()).await?,
        Framing::Chunked => wire.send_chunk(part.as_bytes()).await?,
    }
    wire.stop().await?;
    Ok(wire)
}

async fn nothing_is_there(rest: &Rest) -> Result<()> {
    let executions: Value = rest.get("/v1/executions").await?;
    assert_eq!(executions["items"], json!([]));
    let jobs: Value = rest
        .get("/v1/objects?type=product&id=p0&subscription=acme")
        .await?;
    assert_eq!(jobs["items"], json!([]));
    Ok(())
}
