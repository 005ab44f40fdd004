//! Belts: what a later one waits for, and what it does behind a failure.

use anyhow::Result;
use egression_sandbox::{Faults, Latency, Scenario};
use egression_tests::source::MetadataApi;
use serde_json::{Value, json};

use crate::catalogue::{self, BELTS};
use crate::rig::{Layout, Rig, SOURCE_TOKEN, category, category_job, expect_sum, source, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_belt_opens_when_the_one_before_is_through() {
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
    let rig = Layout {
        scenario: Scenario {
            faults: slow,
            ..Scenario::default()
        },
        channel: BELTS.to_owned(),
        more: source(&api.url(), ""),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let execution = rig
        .bulk(
            json!({}),
            things.iter().map(catalogue::Thing::job).collect(),
        )
        .await
        .unwrap();
    let view = rig
        .until(&execution, |view| {
            view["counts"]["in_flight"].as_u64() > Some(0)
        })
        .await
        .unwrap();
    assert_eq!(
        waiting(&view, "belt"),
        160,
        "all products and offers wait for their belt: {view}"
    );
    assert_eq!(view["channels"][0]["belt"], 1);
    rig.expect_all_succeeded(&execution, 200).await.unwrap();

    let writes = rig.log.writes().await.unwrap();
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
    assert_eq!(rig.shop.report().missing_reference, 0);
}

/// A good and a bad category, and a product behind them.
fn with_a_bad_one() -> Vec<Value> {
    vec![
        category_job("good", &category("good")),
        category_job("bad", &json!({"name": "no text by language"})),
        json!({"object_type": "product", "object_ids": ["p"], "payload": {"name": {"en": "p"}}}),
    ]
}

async fn with_a_bad_category(on_failure: &str) -> Result<(Rig, String)> {
    let rig = Layout {
        channel: format!("{BELTS}belt_on_failure = \"{on_failure}\"\n"),
        ..Layout::default()
    }
    .start()
    .await?;
    let execution = rig.bulk(json!({}), with_a_bad_one()).await?;
    Ok((rig, execution))
}

async fn states(rig: &Rig, execution: &str) -> Vec<String> {
    let state = |job: &Value| job["state"].as_str().unwrap().to_owned();
    rig.jobs(execution)
        .await
        .unwrap()
        .iter()
        .map(state)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn continue_goes_on_behind_a_rejected_job() {
    let (rig, execution) = with_a_bad_category("continue").await.unwrap();
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(
        states(&rig, &execution).await,
        ["succeeded", "rejected", "succeeded"]
    );
    assert_eq!(view["status"], "succeeded_with_errors");
    assert_eq!(
        (&view["errors"][0]["code"], &view["errors"][0]["count"]),
        (&json!("body.schema"), &json!(1))
    );
    let bad = &rig.jobs(&execution).await.unwrap()[1];
    assert_eq!(bad["problem"]["pointer"], "/name", "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abort_cancels_the_belts_behind() {
    let (rig, execution) = with_a_bad_category("abort").await.unwrap();
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(
        states(&rig, &execution).await,
        ["succeeded", "rejected", "cancelled"]
    );
    assert_eq!(rig.shop.report().objects["product"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_waits_for_a_person() {
    let (rig, execution) = with_a_bad_category("hold").await.unwrap();
    let view = rig
        .until(&execution, |view| waiting(view, "belt_hold") == 1)
        .await
        .unwrap();
    assert_eq!(
        (&view["done"], &view["counts"]["waiting"]),
        (&json!(false), &json!(1)),
        "{view}"
    );
    rig.act(&format!("/v1/executions/{execution}:cancel"))
        .await
        .unwrap();
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(view["status"], "cancelled");
    assert_eq!(
        states(&rig, &execution).await,
        ["succeeded", "rejected", "cancelled"]
    );
    assert_eq!(rig.shop.report().objects["product"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_lets_a_held_belt_go_and_it_stays_so() {
    let (mut rig, execution) = with_a_bad_category("hold").await.unwrap();
    rig.until(&execution, |view| waiting(view, "belt_hold") == 1)
        .await
        .unwrap();
    // What was released is known after a power cut, also where it could not go yet.
    rig.act("/v1/channels/shop:pause").await.unwrap();
    let view = rig
        .act(&format!("/v1/executions/{execution}:resume"))
        .await
        .unwrap();
    assert_eq!(
        (&view["done"], waiting(&view, "belt")),
        (&json!(false), 0),
        "{view}"
    );
    rig.host.kill9().await.unwrap();
    rig.restart().await.unwrap();
    let view = rig
        .until(&execution, |view| waiting(view, "paused") == 1)
        .await
        .unwrap();
    assert_eq!(waiting(&view, "belt_hold"), 0, "{view}");
    rig.act("/v1/channels/shop:resume").await.unwrap();
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(
        states(&rig, &execution).await,
        ["succeeded", "rejected", "succeeded"]
    );

    // Without a restart the dispatcher is told.
    let again = rig.bulk(json!({}), with_a_bad_one()).await.unwrap();
    rig.until(&again, |view| waiting(view, "belt_hold") == 1)
        .await
        .unwrap();
    rig.act(&format!("/v1/executions/{again}:resume"))
        .await
        .unwrap();
    assert_eq!(rig.done(&again).await.unwrap()["counts"]["succeeded"], 2);
}
