//! Retention: an execution that was removed answers 410.

use std::time::Duration;

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use reqwest::Method;

#[tokio::test]
async fn expired_execution_is_gone() -> Result<()> {
    let host = hostile::start(
        "[server.store]\nretention_ms = 0\n",
        &[HostileChannel::new("ok")],
    )
    .await?;
    let rest = host.rest()?;
    let done = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    assert_eq!(done["expires_at"], done["completed_at"], "retention is 0");
    let path = follow::path_of(&done)?;
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::GET, format!("{path}/jobs")),
        (Method::POST, format!("{path}:cancel")),
    ] {
        let answer = rest.send(rest.request(method, &path)).await?.expect(410)?;
        assert_eq!(
            (answer.code(), answer.header("content-type")),
            ("gone", "application/problem+json"),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn expired_work_is_removed_for_good() -> Result<()> {
    let host = hostile::start(
        "[server.store]\nretention_ms = 0\nremoval_interval_ms = 100\n",
        &[HostileChannel::new("ok")],
    )
    .await?;
    let rest = host.rest()?;
    let first = follow::submit_and_wait(&rest, &upsert("ok", "p1")).await?;
    let job = format!("/v1/jobs/{}", first["jobs"][0]["id"].as_str().unwrap());
    // The newest row stays in the table, so that no number is used twice.
    follow::submit_and_wait(&rest, &upsert("ok", "p2")).await?;
    let removed = async {
        loop {
            // The API hides it as soon as it expires, so only the log shows the removal.
            if host.last_lines().contains("removed expired executions") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), removed).await?;
    let executions: serde_json::Value = rest.get("/v1/executions").await?;
    assert_eq!(
        executions["items"],
        serde_json::json!([]),
        "the newest row is expired but still in the table"
    );
    let path = follow::path_of(&first)?;
    for path in [
        path.clone(),
        format!("{path}/jobs"),
        job.clone(),
        format!("{job}/events"),
    ] {
        let answer = rest
            .send(rest.request(Method::GET, &path))
            .await?
            .expect(410)?;
        assert_eq!(answer.code(), "gone", "{path}");
    }
    let history: serde_json::Value = rest.get("/v1/objects?type=product&id=p1").await?;
    assert_eq!(history["items"], serde_json::json!([]));
    Ok(())
}
