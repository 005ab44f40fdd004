//! Bounds on concurrent work: an excess request is refused with the name of the bound and a
//! `Retry-After`, and succeeds later.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::wire::Wire;
use reqwest::Method;
use serde_json::{Value, json};

async fn refused(rest: &Rest, code: &str, bound: &str) -> Result<()> {
    let answer = rest
        .send(
            rest.request(Method::POST, "/v1/jobs")
                .json(&upsert("ok", "more")),
        )
        .await?
        .expect(503)?;
    assert_eq!(
        (answer.code(), answer.header("content-type")),
        (code, "application/problem+json")
    );
    assert!(
        answer
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|seconds| seconds > 0),
        "{:?}",
        answer.headers
    );
    assert!(
        answer.json["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(bound)),
        "{}",
        answer.text
    );
    Ok(())
}

#[tokio::test]
async fn excess_requests_get_the_name_of_the_bound() -> Result<()> {
    let host = hostile::start(
        "[server.api]\nbacklog_max = 3\nreceive_concurrency = 1\n",
        &[HostileChannel::new("ok")],
    )
    .await?;
    let rest = host.rest()?;
    let mut later = upsert("ok", "p1");
    later["scheduled_at"] = json!("2099-01-01T00:00:00Z");
    let lines: String = ["p1", "p2", "p3"]
        .into_iter()
        .map(|id| format!("{}\n", with_id(&later, id)))
        .collect();
    let mut receiving = holding_the_only_place(&rest, &lines).await?;
    refused(&rest, "too_many_submissions", "api.receive_concurrency").await?;
    receiving.send(b"0\r\n\r\n").await?;
    let answer = receiving.answer().await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");

    refused(&rest, "backlog_full", "api.backlog_max").await?;
    let executions: Value = rest.get("/v1/executions").await?;
    let path = follow::path_of(&executions["items"][0])?;
    rest.send(rest.request(Method::POST, &format!("{path}:cancel")))
        .await?
        .expect(200)?;
    let done = follow::submit_and_wait(&rest, &upsert("ok", "more")).await?;
    assert_eq!(done["status"], "succeeded", "the place is free again");
    Ok(())
}

/// Sends an unfinished body that occupies the only place. No signal tells when it has the place, so
/// another request tries to get one; if that succeeds, both start again.
async fn holding_the_only_place(rest: &Rest, lines: &str) -> Result<Wire> {
    let is_taken = async || {
        anyhow::Ok(
            rest.send(rest.request(Method::POST, "/v1/jobs").json(&json!({})))
                .await?
                .status
                == 503,
        )
    };
    loop {
        let mut wire = Wire::post(
            rest,
            "/v1/bulk",
            &[
                ("Content-Type", "application/x-ndjson"),
                ("Transfer-Encoding", "chunked"),
            ],
        )
        .await?;
        wire.send_chunk(lines.as_bytes()).await?;
        if is_taken().await? {
            return Ok(wire);
        }
        drop(wire);
        while is_taken().await? {}
    }
}

fn with_id(job: &Value, id: &str) -> Value {
    let mut job = job.clone();
    job["object_ids"] = json!([id]);
    job
}
