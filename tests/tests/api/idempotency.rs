//! `Idempotency-Key`: repeated requests give the execution of the first, and nothing twice.

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
async fn a_repeat_gives_the_first_execution_and_another_body_is_refused() -> Result<()> {
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
    // Bare or quoted, plain or compressed: it is the same request.
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
            "as it stands now"
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
    // The scope is the operation.
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
    // A request that was refused leaves its key free.
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

    // The mark is as durable as the jobs.
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
async fn a_repeat_beside_the_first_is_told_to_come_back() -> Result<()> {
    let host = hostile::start("", &[HostileChannel::new("ok")]).await?;
    let rest = host.rest()?;
    let (first_line, second_line) = (
        format!("{}\n", upsert("ok", "p1")),
        format!("{}\n", upsert("ok", "p2")),
    );
    let whole = format!("{first_line}{second_line}");
    let length = whole.len().to_string();
    // Nobody tells when the host holds a key, which is when it has read the first line. Where the
    // other request was read first, it is refused for its own second line, and both begin anew
    // under another key.
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
        "the same execution: {answer}"
    );
    assert_eq!(repeat.json["counts"]["total"], 2);
    Ok(())
}
