//! Belts: their order, and their behavior after a failure.

use anyhow::Result;
use egression_sandbox::{Faults, Latency, Scenario};
use egression_tests::source::MetadataApi;
use serde_json::{Value, json};

use crate::harness::catalogue::{self, BELTS};
use crate::harness::{
    Harness, SOURCE_TOKEN, Setup, category, category_job, expect_sum, source, waiting,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn belt_opens_after_the_previous_belt() {
    let things = catalogue::things(200);
    let api = MetadataApi::start(things.iter().map(|thing| thing.at_source(1)), SOURCE_TOKEN)
        .await
        .unwrap();
    let slow = Faults {
        latency: Latency {
            share: 1.0,
            ms: 150,
        },
        ..Faults::default()
    };
    let harness = Setup {
        scenario: Scenario {
            faults: slow,
            ..Scenario::default()
        },
        channel: BELTS.to_owned(),
        more: source(&api.url(), ""),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let execution = harness
        .bulk(
            json!({}),
            things.iter().map(catalogue::Thing::job).collect(),
        )
        .await
        .unwrap();
    let view = harness
        .until(&execution, |view| {
            view["counts"]["in_flight"].as_u64() > Some(0)
        })
        .await
        .unwrap();
    assert_eq!(
        waiting(&view, "belt"),
        160,
        "products and offers do not wait for their belt: {view}"
    );
    assert_eq!(view["channels"][0]["belt"], 1);
    harness.expect_all_succeeded(&execution, 200).await.unwrap();

    let writes = harness.log.writes().await.unwrap();
    let belt = |object_type: &str| match object_type {
        "category" | "brand" => 1,
        "product" => 2,
        _ => 3,
    };
    let belts: Vec<_> = writes
        .iter()
        .map(|write| belt(&write.object_type))
        .collect();
    assert!(belts.is_sorted(), "{belts:?}");
    assert_eq!(harness.shop.report().missing_reference, 0);
}

/// A valid and an invalid category, and a product in the next belt.
fn with_a_bad_one() -> Vec<Value> {
    vec![
        category_job("good", &category("good")),
        category_job("bad", &json!({"name": "no text by language"})),
        json!({"object_type": "product", "object_ids": ["p"], "payload": {"name": {"en": "p"}}}),
    ]
}

async fn with_a_bad_category(on_failure: &str) -> Result<(Harness, String)> {
    let harness = Setup {
        channel: format!("{BELTS}belt_on_failure = \"{on_failure}\"\n"),
        ..Setup::default()
    }
    .start()
    .await?;
    let execution = harness.bulk(json!({}), with_a_bad_one()).await?;
    Ok((harness, execution))
}

async fn states(harness: &Harness, execution: &str) -> Vec<String> {
    let state = |job: &Value| job["state"].as_str().unwrap().to_owned();
    harness
        .jobs(execution)
        .await
        .unwrap()
        .iter()
        .map(state)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn continue_opens_the_next_belt_despite_a_rejection() {
    let (harness, execution) = with_a_bad_category("continue").await.unwrap();
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(
        states(&harness, &execution).await,
        ["succeeded", "rejected", "succeeded"]
    );
    assert_eq!(view["status"], "succeeded_with_errors");
    assert_eq!(
        (&view["errors"][0]["code"], &view["errors"][0]["count"]),
        (&json!("body.schema"), &json!(1))
    );
    let bad = &harness.jobs(&execution).await.unwrap()[1];
    assert_eq!(bad["problem"]["pointer"], "/name", "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abort_cancels_later_belts() {
    let (harness, execution) = with_a_bad_category("abort").await.unwrap();
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(
        states(&harness, &execution).await,
        ["succeeded", "rejected", "cancelled"]
    );
    assert_eq!(harness.shop.report().objects["product"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_waits_for_a_decision() {
    let (harness, execution) = with_a_bad_category("hold").await.unwrap();
    let view = harness
        .until(&execution, |view| waiting(view, "belt_hold") == 1)
        .await
        .unwrap();
    assert_eq!(
        (&view["done"], &view["counts"]["waiting"]),
        (&json!(false), &json!(1)),
        "{view}"
    );
    harness
        .act(&format!("/v1/executions/{execution}:cancel"))
        .await
        .unwrap();
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(view["status"], "cancelled");
    assert_eq!(
        states(&harness, &execution).await,
        ["succeeded", "rejected", "cancelled"]
    );
    assert_eq!(harness.shop.report().objects["product"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn released_belt_stays_released() {
    let (mut harness, execution) = with_a_bad_category("hold").await.unwrap();
    harness
        .until(&execution, |view| waiting(view, "belt_hold") == 1)
        .await
        .unwrap();
    // A release survives a crash, even if the jobs could not be sent yet.
    harness.act("/v1/channels/shop:pause").await.unwrap();
    let view = harness
        .act(&format!("/v1/executions/{execution}:resume"))
        .await
        .unwrap();
    assert_eq!(
        (&view["done"], waiting(&view, "belt")),
        (&json!(false), 0),
        "{view}"
    );
    harness.host.kill9().await.unwrap();
    harness.restart().await.unwrap();
    let view = harness
        .until(&execution, |view| waiting(view, "paused") == 1)
        .await
        .unwrap();
    assert_eq!(waiting(&view, "belt_hold"), 0, "{view}");
    harness.act("/v1/channels/shop:resume").await.unwrap();
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(
        states(&harness, &execution).await,
        ["succeeded", "rejected", "succeeded"]
    );

    // Without a restart, the release notifies the dispatcher.
    let again = harness.bulk(json!({}), with_a_bad_one()).await.unwrap();
    harness
        .until(&again, |view| waiting(view, "belt_hold") == 1)
        .await
        .unwrap();
    harness
        .act(&format!("/v1/executions/{again}:resume"))
        .await
        .unwrap();
    assert_eq!(
        harness.done(&again).await.unwrap()["counts"]["succeeded"],
        2
    );
}
