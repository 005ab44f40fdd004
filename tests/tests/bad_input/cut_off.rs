//! Bodies that break off on the wire: whoever hears an answer hears a 4xx, and nothing is left of
//! the request.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::wire::Wire;
use reqwest::Method;
use serde_json::{Value, json};

/// More than one chunk of staging, so that something has been written when the body breaks off.
const LINES: usize = 2500;
const KEY: &str = "nightly-7";

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing_not_even_its_key() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let whole: String = (0..LINES)
        .map(|i| format!("{}\n", upsert("ok", &format!("p{i}"))))
        .collect();
    // In the middle of a line, and right behind one: a line that is complete does not make a body
    // complete.
    let middle = &whole[..whole.len() - 40];
    let behind_a_line = &whole[..whole.len() - whole.lines().last().unwrap().len() - 1];
    for part in [middle, behind_a_line] {
        for framing in [Framing::Length(whole.len()), Framing::Chunked] {
            let answer = break_off(&rest, &framing, part).await?.answer().await;
            // HTTP leaves it to the server whether it answers a request that is not whole (RFC
            // 9112, section 8).
            assert!(
                answer.is_empty()
                    || (answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"body_cut_off\"")),
                "{framing:?}: {answer}"
            );
            nothing_is_there(&rest).await?;
        }
    }
    // Whoever hangs up hears nothing, and the key is free again when the host has noticed.
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
        "only the whole one: {executions:#}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refusal_reaches_whoever_is_still_sending() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    // More than the buffers between the two hold, and the refusal is due behind the first line.
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
    // Who asks first is told no, and sends nothing.
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
async fn a_body_that_does_not_come_on_is_given_up() -> Result<()> {
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
    /// This length is announced.
    Length(usize),
    /// The chunk that ends the body is never sent.
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
