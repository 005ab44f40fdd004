//! Unknown names and unsupported actions: a lenient bulk refuses the item, a strict bulk answers
//! 400 with the list.

use anyhow::Result;
use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::redact::redacted;
use reqwest::Method;
use serde_json::{Value, json};

/// Two valid jobs, and between them one job for each kind of unknown name.
fn lines() -> Vec<Value> {
    let with = |change: Value| {
        let mut job = upsert("ok", "wrong");
        job.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        job
    };
    vec![
        upsert("ok", "first"),
        with(json!({"channel": "nowhere"})),
        with(json!({"channel": "unconnected"})),
        with(json!({"channel": "uninstalled"})),
        with(json!({"source": "nobody"})),
        with(json!({"object_type": "dragon"})),
        with(json!({"object_type": "notice", "action": "delete", "payload": null})),
        with(json!({"subscription": "other"})),
        with(json!({"channel": null, "channels": ["ok", "nowhere", "ok"]})),
        with(json!({"object_ids": ["one", "two"], "client_ref": "y".repeat(300)})),
        upsert("ok", "last"),
    ]
}

const GOOD: u64 = 2;

/// A channel without a connection of this subscription, a channel without an installed connector,
/// and another tenant.
const MORE: &str = r#"
[[channels]]
name = "unconnected"
connector = "hostile"
[[channels]]
name = "uninstalled"
connector = "missing"
[[subscriptions]]
name = "other"
[[connections]]
subscription = "acme"
channel = "uninstalled"
"#;

#[tokio::test]
async fn unknown_names_refuse_an_item_or_the_request() -> Result<()> {
    let channels = [HostileChannel::new("ok").connection(MORE)];
    let host = hostile::start("", &channels).await?;
    let rest = host.rest()?;

    let strict = follow::bulk(&rest, &lines(), "handling=strict")
        .await?
        .expect(400)?;
    assert_eq!(
        (strict.code(), strict.header("content-type")),
        ("items_refused", "application/problem+json")
    );
    insta::assert_json_snapshot!("strict_bulk_with_unknown_names", redacted(&strict.json));
    let executions: Value = rest.get("/v1/executions").await?;
    assert_eq!(executions["items"], json!([]), "strict: nothing is stored");

    let total = lines().len() as u64;
    let lenient = follow::bulk(&rest, &lines(), "handling=lenient")
        .await?
        .expect(202)?;
    assert_eq!(lenient.header("preference-applied"), "handling=lenient");
    let done = follow::until_done(&rest, &lenient.json).await?;
    let counts = &done["counts"];
    assert_eq!(
        (&counts["total"], &counts["succeeded"], &counts["rejected"]),
        (&json!(total), &json!(GOOD), &json!(total - GOOD)),
        "{done:#}"
    );
    assert_eq!(done["status"], "succeeded_with_errors");
    let groups: u64 = done["errors"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|group| group["count"].as_u64())
        .sum();
    assert_eq!(groups, total - GOOD, "each is counted once: {done:#}");

    let refused: Vec<Value> = follow::jobs(&rest, &done)
        .await?
        .into_iter()
        .filter(|job| job["state"] == "rejected")
        .collect();
    assert!(
        refused.iter().all(|job| job["excerpt"]
            .as_str()
            .is_some_and(|excerpt| excerpt.len() <= 200)),
        "{refused:#?}"
    );
    let shown = refused.iter().map(
        |job| json!({"index": job["index"], "object": job["object"], "problem": job["problem"]}),
    );
    let shown: Vec<Value> = shown.collect();
    insta::assert_json_snapshot!("lenient_bulk_with_unknown_names", redacted(&json!(shown)));

    whole_requests(&rest).await
}

/// Errors that refuse the whole request: a bulk without any known subscription, and every error in
/// a single submission.
async fn whole_requests(rest: &egression_tests::rest::Rest) -> Result<()> {
    let mut stranger = upsert("ok", "p1");
    stranger["subscription"] = json!("stranger");
    for handling in ["handling=lenient", "handling=strict"] {
        let answer = follow::bulk(rest, &[stranger.clone(), stranger.clone()], handling)
            .await?
            .expect(400)?;
        assert_eq!(
            (
                &answer.json["errors"][0]["pointer"],
                &answer.json["errors"][0]["code"]
            ),
            (
                &json!("/jobs/0/subscription"),
                &json!("unknown_subscription")
            )
        );
    }
    // The first known subscription owns the execution; the other items are refused one by one.
    let mixed = [stranger.clone(), upsert("ok", "p2"), stranger.clone()];
    follow::bulk(rest, &mixed, "handling=strict")
        .await?
        .expect(400)?;
    let accepted = follow::bulk(rest, &mixed, "handling=lenient")
        .await?
        .expect(202)?;
    assert_eq!(
        (
            &accepted.json["subscription"],
            &accepted.json["counts"]["rejected"]
        ),
        (&json!("acme"), &json!(2)),
        "{}",
        accepted.text
    );
    let done = follow::until_done(rest, &accepted.json).await?;
    let states: Vec<Value> = follow::jobs(rest, &done)
        .await?
        .into_iter()
        .map(|job| job["state"].clone())
        .collect();
    assert_eq!(states, ["rejected", "succeeded", "rejected"]);
    for (job, pointer, code) in [
        (stranger, "/subscription", "unknown_subscription"),
        (upsert("nowhere", "p1"), "/channel", "unknown_channel"),
        (
            upsert("uninstalled", "p1"),
            "/channel",
            "connector_not_installed",
        ),
        (json!({"subscription": "acme"}), "/action", "required"),
    ] {
        let answer = rest
            .send(rest.request(Method::POST, "/v1/jobs").json(&job))
            .await?
            .expect(400)?;
        let first = &answer.json["errors"][0];
        assert_eq!(
            (first["pointer"].as_str(), first["code"].as_str()),
            (Some(pointer), Some(code)),
            "{}",
            answer.text
        );
    }
    let executions: Value = rest.get("/v1/executions").await?;
    assert_eq!(
        executions["items"].as_array().map(Vec::len),
        Some(2),
        "more than the lenient bulks"
    );
    Ok(())
}
