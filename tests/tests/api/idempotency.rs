//! `Idempotency-Key`: a repeated request returns the first execution and stores nothing.

use std::io::Write as _;

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use egression_tests::wire::Wire;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};

async fn submit(rest: &Rest, path: &str, key: &str, body: String, gzip: bool) -> Result<Answer> {
    let kind = if path == "/v1/bulk" {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    let request = rest
        .request(Method::POST, path)
        .header("content-type", kind)
        .header("idempotency-key", key);
    if !gzip {
        return rest.send(request.body(body)).await;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes())?;
    rest.send(
        request
            .header("content-encoding", "gzip")
            .body(encoder.finish()?),
    )
    .await
}

#[tokio::test]
async fn repeat_returns_the_first_execution() -> Result<()> {
    let mut host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let lines = |ids: &[&str]| {
        ids.iter()
            .map(|id| format!("{}\n", upsert("ok", id)))
            .collect::<String>()
    };

    let first = submit(&rest, "/v1/bulk", "nightly", lines(&["p1", "p2"]), false)
        .await?
        .expect(202)?;
    let done = follow::until_done(&rest, &first.json).await?;
    let id = &done["id"];
    // A quoted key or a compressed body does not make another request.
    for (key, gzip) in [
        ("nightly", false),
        ("\"nightly\"", false),
        ("nightly", true),
    ] {
        let repeat = submit(&rest, "/v1/bulk", key, lines(&["p1", "p2"]), gzip)
            .await?
            .expect(200)?;
        assert_eq!(
            (&repeat.json["id"], &repeat.json["done"]),
            (id, &json!(true)),
            "the current state"
        );
        assert!(
            repeat.header("location").ends_with(id.as_str().unwrap())
                && repeat.header("retry-after").is_empty()
        );
    }
    let other = submit(&rest, "/v1/bulk", "nightly", lines(&["p1", "p3"]), false)
        .await?
        .expect(422)?;
    assert_eq!(other.code(), "idempotency_key_reused");
    // Keys are scoped to the operation.
    let single = submit(
        &rest,
        "/v1/jobs",
        "nightly",
        upsert("ok", "p1").to_string(),
        false,
    )
    .await?
    .expect(200)?;
    assert_ne!(&single.json["id"], id);
    let again = submit(
        &rest,
        "/v1/jobs",
        "nightly",
        upsert("ok", "p1").to_string(),
        false,
    )
    .await?
    .expect(200)?;
    assert_eq!(again.json["id"], single.json["id"]);
    // A refused request leaves its key free.
    submit(
        &rest,
        "/v1/jobs",
        "free",
        json!({"subscription": "acme"}).to_string(),
        false,
    )
    .await?
    .expect(400)?;
    submit(
        &rest,
        "/v1/jobs",
        "free",
        upsert("ok", "p4").to_string(),
        false,
    )
    .await?
    .expect(200)?;

    // The key is as durable as the jobs.
    host.kill9().await?;
    host.restart().await?;
    let rest = host.rest()?;
    let repeat = submit(&rest, "/v1/bulk", "nightly", lines(&["p1", "p2"]), false)
        .await?
        .expect(200)?;
    assert_eq!(&repeat.json["id"], id);
    submit(&rest, "/v1/bulk", "nightly", lines(&["p9"]), false)
        .await?
        .expect(422)?;
    let executions: Value = rest.get("/v1/executions").await?;
    assert_eq!(
        executions["items"].as_array().map(Vec::len),
        Some(3),
        "{executions:#}"
    );
    Ok(())
}

#[tokio::test]
async fn concurrent_repeat_is_asked_to_retry() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let (first_line, second_line) = (
        format!("{}\n", upsert("ok", "p1")),
        format!("{}\n", upsert("ok", "p2")),
    );
    let whole = format!("{first_line}{second_line}");
    let length = whole.len().to_string();
    // The host holds a key after it has read the first line, but sends no signal. If it reads the
    // other request first, it refuses that one for its second line, and both start again under
    // another key.
    let mut attempt = 0;
    let (key, mut first, conflict) = loop {
        attempt += 1;
        let key = format!("k{attempt}");
        let fields = [
            ("Content-Type", "application/x-ndjson"),
            ("Idempotency-Key", key.as_str()),
            ("Content-Length", length.as_str()),
        ];
        let mut first = Wire::post(&rest, "/v1/bulk", &fields).await?;
        first.send(first_line.as_bytes()).await?;
        let answer = submit(
            &rest,
            "/v1/bulk",
            &key,
            format!("{}\nnonsense\n", upsert("ok", "p9")),
            false,
        )
        .await?;
        if answer.code() != "malformed_request" {
            break (key, first, answer.expect(409)?);
        }
    };
    assert_eq!(conflict.code(), "request_in_progress");
    first.send(second_line.as_bytes()).await?;
    let answer = first.answer().await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let repeat = submit(&rest, "/v1/bulk", &key, whole, false)
        .await?
        .expect(202)?;
    assert!(
        answer.contains(repeat.json["id"].as_str().unwrap()),
        "another execution: {answer}"
    );
    assert_eq!(repeat.json["counts"]["total"], 2);
    Ok(())
}
