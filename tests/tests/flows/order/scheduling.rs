//! Schedules, expiry, priorities, pauses and cancels.

use egression_sandbox::{Faults, Latency, Scenario};
use serde_json::{Value, json};

use crate::harness::catalogue::BELTS;
use crate::harness::{
    CHANNEL, Harness, Setup, TENANT, category, category_job, expect_sum, instant, waiting,
};

async fn harness(channel: &str, latency_ms: u64) -> Harness {
    let faults = Faults {
        latency: Latency {
            share: if latency_ms > 0 { 1.0 } else { 0.0 },
            ms: latency_ms,
        },
        ..Faults::default()
    };
    let scenario = Scenario {
        faults,
        ..Scenario::default()
    };
    Setup {
        scenario,
        channel: channel.to_owned(),
        mode: "single",
        ..Setup::default()
    }
    .start()
    .await
    .unwrap()
}

fn jobs(prefix: &str, count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| category_job(&format!("{prefix}{n}"), &category(&format!("{prefix} {n}"))))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduled_job_holds_later_belts() {
    let harness = harness(BELTS, 0).await;
    let mut later = category_job("later", &category("later"));
    later["scheduled_at"] = json!(instant(1500));
    let product =
        json!({"object_type": "product", "object_ids": ["p"], "payload": {"name": {"en": "p"}}});
    let execution = harness
        .bulk(
            json!({}),
            vec![later, category_job("now", &category("now")), product],
        )
        .await
        .unwrap();
    let view = harness
        .until(&execution, |view| view["counts"]["succeeded"] == 1)
        .await
        .unwrap();
    assert_eq!(
        (waiting(&view, "schedule"), waiting(&view, "belt")),
        (1, 1),
        "{view}"
    );
    let scheduled = &harness.jobs(&execution).await.unwrap()[0];
    assert_eq!(scheduled["waiting"]["kind"], "schedule", "{scheduled}");
    assert!(scheduled["waiting"]["until"].is_string(), "{scheduled}");
    harness.expect_all_succeeded(&execution, 3).await.unwrap();
    let order: Vec<_> = harness
        .log
        .writes()
        .await
        .unwrap()
        .into_iter()
        .map(|write| write.id)
        .collect();
    assert_eq!(order, ["now", "later", "p"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduled_job_gets_its_position_when_due() {
    let harness = harness("partition = \"channel\"\nmerge = false\n", 0).await;
    let mut later = category_job("c", &category("later"));
    later["scheduled_at"] = json!(instant(1200));
    let first = harness.submit(later).await.unwrap();
    let second = harness
        .deliver(category_job("c", &category("now")))
        .await
        .unwrap();
    assert_eq!(
        second["state"], "succeeded",
        "the scheduled job holds neither key nor object"
    );
    harness.expect_all_succeeded(&first, 1).await.unwrap();
    assert_eq!(
        harness.log.objects().await.unwrap()[0].body,
        category("later")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsent_job_expires() {
    let harness = harness("", 0).await;
    harness
        .act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    let mut job = category_job("c", &category("c"));
    job["expires_at"] = json!(instant(700));
    let execution = harness.submit(job).await.unwrap();
    harness.until_waits(&execution, "paused").await.unwrap();
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    let job = harness.only_job(&execution).await.unwrap();
    assert_eq!(
        (&job["state"], &job["problem"]["code"]),
        (&json!("failed"), &json!("expired")),
        "{job}"
    );
    assert!(harness.log.writes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn higher_priority_goes_first() {
    let harness = harness("max_calls = 1\nmax_items = 1\n", 0).await;
    harness
        .act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    let low = harness
        .bulk(json!({"priority": -5}), jobs("low", 60))
        .await
        .unwrap();
    let high = harness
        .bulk(json!({"priority": 5}), jobs("high", 20))
        .await
        .unwrap();
    harness
        .until(&high, |view| waiting(view, "paused") == 20)
        .await
        .unwrap();
    harness
        .act(&format!("/v1/channels/{CHANNEL}:resume"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&low, 60).await.unwrap();
    harness.expect_all_succeeded(&high, 20).await.unwrap();
    let writes = harness.log.writes().await.unwrap();
    let last_high = writes
        .iter()
        .rposition(|write| write.id.starts_with("high"))
        .unwrap();
    // Every tenth pick ignores priority, and the first pick may precede the last read.
    assert!(
        last_high < 20 + 20 / 9 + 3,
        "the last high-priority job is write {last_high}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pause_holds_and_resume_releases() {
    let harness = harness("", 0).await;
    let places = [
        format!("/v1/channels/{CHANNEL}"),
        format!("/v1/channels/{CHANNEL}/connections/{TENANT}"),
    ];
    for (n, place) in places.iter().enumerate() {
        harness.act(&format!("{place}:pause")).await.unwrap();
        let execution = harness
            .submit(category_job(&format!("c{n}"), &category("c")))
            .await
            .unwrap();
        harness.until_waits(&execution, "paused").await.unwrap();
        let view = harness.view(&execution).await.unwrap();
        assert_eq!(
            (&view["status"], waiting(&view, "paused")),
            (&json!("paused"), 1),
            "{view}"
        );
        harness.act(&format!("{place}:resume")).await.unwrap();
        harness.expect_all_succeeded(&execution, 1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_execution_keeps_its_positions() {
    let harness = harness("max_calls = 1\nmax_items = 1\n", 40).await;
    let execution = harness.bulk(json!({}), jobs("c", 30)).await.unwrap();
    harness
        .until(&execution, |view| {
            view["counts"]["succeeded"].as_u64() > Some(1)
        })
        .await
        .unwrap();
    harness
        .act(&format!("/v1/executions/{execution}:pause"))
        .await
        .unwrap();
    let paused = harness
        .until(&execution, |view| view["counts"]["in_flight"] == 0)
        .await
        .unwrap();
    assert_eq!(paused["status"], "paused", "{paused}");
    let other = harness.bulk(json!({}), jobs("other", 3)).await.unwrap();
    harness.expect_all_succeeded(&other, 3).await.unwrap();
    let still = harness.view(&execution).await.unwrap();
    assert_eq!(
        still["counts"], paused["counts"],
        "the paused execution did not move"
    );
    assert_eq!(
        waiting(&still, "paused"),
        still["counts"]["waiting"].as_u64().unwrap(),
        "{still}"
    );
    harness
        .act(&format!("/v1/executions/{execution}:resume"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 30).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_keeps_in_flight_outcomes() {
    let harness = harness("max_calls = 1\nmax_items = 1\n", 300).await;
    let execution = harness.bulk(json!({}), jobs("c", 20)).await.unwrap();
    harness
        .until(&execution, |view| {
            view["counts"]["in_flight"] == 1 && harness.shop.report().calls > 1
        })
        .await
        .unwrap();
    let view = harness
        .act(&format!("/v1/executions/{execution}:cancel"))
        .await
        .unwrap();
    expect_sum(&view);
    let view = harness.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(view["status"], "cancelled", "{view}");
    let there = harness.log.objects().await.unwrap().len();
    assert_eq!(view["counts"]["succeeded"], there, "{view}");
    assert_eq!(view["counts"]["cancelled"], 20 - there, "{view}");
    assert!(there > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_job_frees_its_key() {
    let harness = harness("partition = \"channel\"\n", 0).await;
    let mut first = category_job("first", &category("first"));
    first["depends_on"] = json!([{"type": "brand", "id": "never"}]);
    let first = harness.submit(first).await.unwrap();
    let waits = harness.until_waits(&first, "dependency").await.unwrap();
    harness
        .act(&format!(
            "/v1/jobs/{}:cancel",
            waits["id"].as_str().unwrap()
        ))
        .await
        .unwrap();
    assert_eq!(harness.done(&first).await.unwrap()["status"], "cancelled");
    assert_eq!(
        harness
            .deliver(category_job("second", &category("second")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}
