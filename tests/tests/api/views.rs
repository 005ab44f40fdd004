//! The complete views of an execution that succeeded, one that was refused and one that waits, with
//! their histories.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::redact::redacted;
use egression_tests::target::Target;
use serde_json::{Value, json};

#[tokio::test]
async fn executions_jobs_and_events_have_the_documented_shape() -> Result<()> {
    let target = Target::start().await?;
    let reach = HostileChannel::new("reach")
        .setting("target_url", &target.url("/ok"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let belts =
        HostileChannel::new("ok").channel("belts = [[\"category\", \"brand\"], [\"product\"]]");
    let host = hostile::start("", &[belts, reach]).await?;
    let rest = host.rest()?;

    let mut job = upsert("ok", "4711");
    job["client_ref"] = json!("row 7");
    job["context"] = json!({"flow": "nightly", "run": "2026-11-21"});
    let delivered = follow::submit_and_wait(&rest, &job).await?;
    insta::assert_json_snapshot!("delivered_execution", redacted(&delivered));
    insta::assert_json_snapshot!(
        "delivered_events",
        redacted(&json!(follow::events(&rest, &delivered["jobs"][0]).await?))
    );

    let refused = follow::submit_and_wait(&rest, &upsert("reach", "4711")).await?;
    insta::assert_json_snapshot!("refused_execution", redacted(&refused));
    insta::assert_json_snapshot!(
        "refused_events",
        redacted(&json!(follow::events(&rest, &refused["jobs"][0]).await?))
    );

    let mut later = upsert("ok", "4712");
    later["scheduled_at"] = json!("2099-01-01T00:00:00Z");
    later["expires_at"] = json!("2099-02-01T00:00:00Z");
    later["partition_key"] = json!("price-list");
    let waiting = follow::submit(&rest, &later).await?;
    insta::assert_json_snapshot!("waiting_execution", redacted(&waiting));
    let jobs = follow::jobs(&rest, &waiting).await?;
    let job: Value = rest
        .get(&format!("/v1/jobs/{}", jobs[0]["id"].as_str().unwrap()))
        .await?;
    insta::assert_json_snapshot!("waiting_job", redacted(&job));

    let mut connection: Value = rest.get("/v1/channels/reach/connections/acme").await?;
    // The use of a limit changes from moment to moment.
    connection["status"]
        .as_object_mut()
        .unwrap()
        .remove("limit_used");
    insta::assert_json_snapshot!("connection", redacted(&connection));
    let connectors: Value = rest.get("/v1/connectors").await?;
    insta::assert_json_snapshot!("connectors", redacted(&connectors));
    Ok(())
}
