//! `Prefer`: waiting, not waiting, and `Preference-Applied` in the answer.

use anyhow::Result;
use egression_tests::follow::upsert;
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::{Answer, Rest};
use egression_tests::target::Target;
use reqwest::Method;
use serde_json::{Value, json};

async fn submit(rest: &Rest, path: &str, prefer: &str, body: &Value) -> Result<Answer> {
    rest.send(
        rest.request(Method::POST, path)
            .header("prefer", prefer)
            .json(body),
    )
    .await
}

#[tokio::test]
async fn prefer_wait_is_applied_and_reported() -> Result<()> {
    let target = Target::start().await?;
    let held = HostileChannel::new("reach")
        .setting("target_url", &target.url("/hold"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let host = hostile::start(
        "[server.api]\nsync_wait_ms = 300\n",
        &[HostileChannel::new("ok"), held],
    )
    .await?;
    let rest = host.rest()?;
    let bulk = |channel: &str| json!({"jobs": [upsert(channel, "p1"), upsert(channel, "p2")]});
    let later = |mut job: Value| {
        job["scheduled_at"] = json!("2099-01-01T00:00:00Z");
        job
    };
    let many = |mut job: Value| {
        job["object_ids"] = json!(["p1", "p2"]);
        job["action"] = json!("delete");
        job.as_object_mut().unwrap().remove("payload");
        job
    };
    for (path, prefer, body, status, applied) in [
        // With one object and one channel, the request waits for the end by default.
        ("/v1/jobs", "", upsert("ok", "p1"), 200, ""),
        ("/v1/jobs", "wait=60", upsert("ok", "p1"), 200, "wait=60"),
        (
            "/v1/jobs",
            "respond-async",
            upsert("reach", "p1"),
            202,
            "respond-async",
        ),
        (
            "/v1/jobs",
            "respond-async, wait=60",
            upsert("ok", "p1"),
            200,
            "wait=60",
        ),
        // The end does not come in time.
        ("/v1/jobs", "", upsert("reach", "p2"), 202, ""),
        ("/v1/jobs", "wait=1", upsert("reach", "p3"), 202, "wait=1"),
        // A job that is due in years does not wait by default.
        ("/v1/jobs", "", later(upsert("ok", "p4")), 202, ""),
        // Several objects or a bulk wait only on request.
        (
            "/v1/jobs",
            "wait=60",
            many(upsert("ok", "p1")),
            200,
            "wait=60",
        ),
        ("/v1/bulk", "", bulk("reach"), 202, ""),
        ("/v1/bulk", "wait=60", bulk("ok"), 200, "wait=60"),
        (
            "/v1/bulk",
            "wait=60, handling=strict",
            bulk("ok"),
            200,
            "wait=60, handling=strict",
        ),
        (
            "/v1/bulk",
            "handling=lenient, unheard-of=1",
            bulk("reach"),
            202,
            "handling=lenient",
        ),
        // An invalid preference is ignored.
        ("/v1/jobs", "wait=soon", upsert("ok", "p1"), 200, ""),
    ] {
        let answer = submit(&rest, path, prefer, &body).await?;
        assert_eq!(
            (answer.status, answer.header("preference-applied")),
            (status, applied),
            "{path} {prefer} {body}: {}",
            answer.text
        );
        let location = format!("/v1/executions/{}", answer.json["id"].as_str().unwrap());
        assert_eq!(answer.header("location"), location);
        let done = status == 200;
        assert_eq!(
            (&answer.json["done"], answer.json["jobs"].is_array()),
            (&json!(done), done),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.header("operation-location"),
            if done { "" } else { &location }
        );
        assert_eq!(
            answer.header("retry-after").is_empty(),
            done,
            "{:?}",
            answer.headers
        );
    }
    target.release();
    Ok(())
}

#[tokio::test]
async fn disconnected_client_cancels_nothing() -> Result<()> {
    let target = Target::start().await?;
    let held = HostileChannel::new("reach")
        .setting("target_url", &target.url("/hold"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let host = hostile::start("", &[held]).await?;
    let rest = host.rest()?;
    let leaving = tokio::spawn({
        let rest = rest.clone();
        async move { submit(&rest, "/v1/jobs", "wait=60", &upsert("reach", "p1")).await }
    });
    target.until_arrived(1).await;
    leaving.abort();
    assert!(leaving.await.is_err_and(|error| error.is_cancelled()));
    target.release();
    let list: Value = rest.get("/v1/executions").await?;
    let done = egression_tests::follow::until_done(&rest, &list["items"][0]).await?;
    assert_eq!(
        done["counts"]["rejected"], 1,
        "the connector did not get its answer: {done:#}"
    );
    Ok(())
}
