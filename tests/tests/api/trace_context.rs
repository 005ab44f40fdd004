//! The trace of a caller (W3C Trace Context) reaches the source, the destination and the history of
//! the job.

use anyhow::{Context, Result};
use egression_tests::follow;
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::rest::Rest;
use egression_tests::target::Target;
use reqwest::Method;
use serde_json::{Value, json};

const REQUEST: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OWN: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";

async fn trace_ids(rest: &Rest, job: &Value) -> Result<Vec<Value>> {
    let path = format!(
        "/v1/jobs/{}/events",
        job["id"].as_str().context("a job has an id")?
    );
    let events: Value = rest.get(&path).await?;
    Ok(events["items"]
        .as_array()
        .context("events")?
        .iter()
        .map(|event| event["trace_id"].clone())
        .collect())
}

#[tokio::test]
async fn trace_reaches_source_destination_and_history() -> Result<()> {
    let (source, shop) = (Target::start().await?, Target::start().await?);
    let channel = HostileChannel::new("reach")
        .named("shop")
        .setting("target_url", &shop.url("/ok"))
        .channel("max_items = 1\nretry = { attempts = 1 }")
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let pim = format!(
        "[[sources]]\nname = \"pim\"\nsubscriptions = [\"acme\"]\nkind = \"http\"\n\
         object_url = \"{}\"\n\
         allow_addresses = [\"127.0.0.1/32\"]\n",
        source.url("/objects/{type}/{id}")
    );
    let host = hostile::start(&pim, &[channel]).await?;
    let rest = host.rest()?;
    let line = |id: &str, context: Value| {
        json!({
            "subscription": "acme", "channel": "shop", "source": "pim", "action": "upsert",
            "object_type": "product", "object_ids": [id], "context": context,
        })
    };
    let lines = [
        line("plain", json!({})),
        line("own", json!({"traceparent": OWN})),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = rest
        .request(Method::POST, "/v1/bulk")
        .header("content-type", "application/x-ndjson")
        .header("traceparent", REQUEST);
    let execution = rest.send(request.body(text)).await?.expect(202)?.json;
    follow::until_done(&rest, &execution).await?;

    let trace_of = |id: &str| {
        let path = format!("/objects/product/{id}");
        source
            .arrived()
            .into_iter()
            .find(|request| request.path == path)
            .map(|request| request.traceparent)
    };
    assert_eq!(
        (trace_of("plain").as_deref(), trace_of("own").as_deref()),
        (Some(REQUEST), Some(OWN))
    );
    let mut told: Vec<String> = shop
        .arrived()
        .into_iter()
        .map(|request| request.traceparent)
        .collect();
    told.sort();
    assert_eq!(told, [REQUEST, OWN]);
    let page: Value = rest
        .get(&format!(
            "/v1/executions/{}/jobs",
            execution["id"].as_str().context("an id")?
        ))
        .await?;
    for job in page["items"].as_array().context("jobs")? {
        let expected = if job["object"]["id"] == "own" {
            &OWN[3..35]
        } else {
            &REQUEST[3..35]
        };
        let ids = trace_ids(&rest, job).await?;
        assert!(
            ids.len() >= 3 && ids.iter().all(|id| id == expected),
            "{job}: {ids:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn trace_is_never_invented() -> Result<()> {
    let shop = Target::start().await?;
    let channel = HostileChannel::new("reach")
        .named("shop")
        .setting("target_url", &shop.url("/ok"))
        .connection("allow_addresses = [\"127.0.0.1/32\"]");
    let host = hostile::start("", &[channel]).await?;
    let rest = host.rest()?;
    follow::submit_and_wait(&rest, &follow::upsert("shop", "1")).await?;
    let told: Vec<String> = shop
        .arrived()
        .into_iter()
        .map(|request| request.traceparent)
        .collect();
    assert_eq!(told, [""]);
    Ok(())
}
