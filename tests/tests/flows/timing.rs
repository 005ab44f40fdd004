//! When jobs run: schedules, expiry, priorities, pauses, cancels.

use std::time::Duration;

use egression_sandbox::{Faults, Latency, Scenario};
use serde_json::{Value, json};

use crate::catalogue::BELTS;
use crate::rig::{CHANNEL, Layout, Rig, TENANT, category, category_job, expect_sum, waiting};

/// An instant so many milliseconds from now.
#[allow(
    clippy::disallowed_methods,
    reason = "instants of the API are wall time, and the test makes one"
)]
pub fn instant(in_ms: u64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let at = now + Duration::from_millis(in_ms);
    let (days, second) = (at.as_secs() / 86_400, at.as_secs() % 86_400);
    let (mut year, mut day) = (1970, days);
    let length = |year: u64| {
        if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) {
            366
        } else {
            365
        }
    };
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let months = [
        31,
        length(year) - 337,
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    let (month, day, millis) = (month + 1, day + 1, at.subsec_millis());
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

async fn rig(channel: &str, latency_ms: u64) -> Rig {
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
    Layout {
        scenario,
        channel: channel.to_owned(),
        mode: "single",
        ..Layout::default()
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
async fn a_scheduled_job_waits_and_holds_later_belts() {
    let rig = rig(BELTS, 0).await;
    let mut later = category_job("later", &category("later"));
    later["scheduled_at"] = json!(instant(1500));
    let product =
        json!({"object_type": "product", "object_ids": ["p"], "payload": {"name": {"en": "p"}}});
    let execution = rig
        .bulk(
            json!({}),
            vec![later, category_job("now", &category("now")), product],
        )
        .await
        .unwrap();
    let view = rig
        .until(&execution, |view| view["counts"]["succeeded"] == 1)
        .await
        .unwrap();
    assert_eq!(
        (waiting(&view, "schedule"), waiting(&view, "belt")),
        (1, 1),
        "{view}"
    );
    let scheduled = &rig.jobs(&execution).await.unwrap()[0];
    assert_eq!(scheduled["waiting"]["kind"], "schedule", "{scheduled}");
    assert!(scheduled["waiting"]["until"].is_string(), "{scheduled}");
    rig.expect_all_succeeded(&execution, 3).await.unwrap();
    let order: Vec<_> = rig
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
async fn a_scheduled_job_draws_its_place_when_it_falls_due() {
    let rig = rig("partition = \"channel\"\nmerge = false\n", 0).await;
    let mut later = category_job("c", &category("later"));
    later["scheduled_at"] = json!(instant(1200));
    let first = rig.submit(later).await.unwrap();
    let second = rig
        .deliver(category_job("c", &category("now")))
        .await
        .unwrap();
    assert_eq!(
        second["state"], "succeeded",
        "the scheduled one holds neither key nor object"
    );
    rig.expect_all_succeeded(&first, 1).await.unwrap();
    assert_eq!(rig.log.objects().await.unwrap()[0].body, category("later"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_was_not_sent_in_time_expires() {
    let rig = rig("", 0).await;
    rig.act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    let mut job = category_job("c", &category("c"));
    job["expires_at"] = json!(instant(700));
    let execution = rig.submit(job).await.unwrap();
    rig.until_waits(&execution, "paused").await.unwrap();
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    let job = rig.only_job(&execution).await.unwrap();
    assert_eq!(
        (&job["state"], &job["problem"]["code"]),
        (&json!("failed"), &json!("expired")),
        "{job}"
    );
    assert!(rig.log.writes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_higher_priority_goes_first() {
    let rig = rig("max_calls = 1\nmax_items = 1\n", 0).await;
    rig.act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    let low = rig
        .bulk(json!({"priority": -5}), jobs("low", 60))
        .await
        .unwrap();
    let high = rig
        .bulk(json!({"priority": 5}), jobs("high", 20))
        .await
        .unwrap();
    rig.until(&high, |view| waiting(view, "paused") == 20)
        .await
        .unwrap();
    rig.act(&format!("/v1/channels/{CHANNEL}:resume"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&low, 60).await.unwrap();
    rig.expect_all_succeeded(&high, 20).await.unwrap();
    let writes = rig.log.writes().await.unwrap();
    let last_high = writes
        .iter()
        .rposition(|write| write.id.starts_with("high"))
        .unwrap();
    // Every tenth pick ignores priority, and the first may have been made before all were read.
    assert!(
        last_high < 20 + 20 / 9 + 3,
        "the last of 20 is write {last_high}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_hold_and_resumes_release() {
    let rig = rig("", 0).await;
    let places = [
        format!("/v1/channels/{CHANNEL}"),
        format!("/v1/channels/{CHANNEL}/connections/{TENANT}"),
    ];
    for (n, place) in places.iter().enumerate() {
        rig.act(&format!("{place}:pause")).await.unwrap();
        let execution = rig
            .submit(category_job(&format!("c{n}"), &category("c")))
            .await
            .unwrap();
        rig.until_waits(&execution, "paused").await.unwrap();
        let view = rig.view(&execution).await.unwrap();
        assert_eq!(
            (&view["status"], waiting(&view, "paused")),
            (&json!("paused"), 1),
            "{view}"
        );
        rig.act(&format!("{place}:resume")).await.unwrap();
        rig.expect_all_succeeded(&execution, 1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_execution_keeps_its_places() {
    let rig = rig("max_calls = 1\nmax_items = 1\n", 40).await;
    let execution = rig.bulk(json!({}), jobs("c", 30)).await.unwrap();
    rig.until(&execution, |view| {
        view["counts"]["succeeded"].as_u64() > Some(1)
    })
    .await
    .unwrap();
    rig.act(&format!("/v1/executions/{execution}:pause"))
        .await
        .unwrap();
    let paused = rig
        .until(&execution, |view| view["counts"]["in_flight"] == 0)
        .await
        .unwrap();
    assert_eq!(paused["status"], "paused", "{paused}");
    let other = rig.bulk(json!({}), jobs("other", 3)).await.unwrap();
    rig.expect_all_succeeded(&other, 3).await.unwrap();
    let still = rig.view(&execution).await.unwrap();
    assert_eq!(
        still["counts"], paused["counts"],
        "nothing of it moved meanwhile"
    );
    assert_eq!(
        waiting(&still, "paused"),
        still["counts"]["waiting"].as_u64().unwrap(),
        "{still}"
    );
    rig.act(&format!("/v1/executions/{execution}:resume"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 30).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_leaves_what_is_in_flight_its_true_outcome() {
    let rig = rig("max_calls = 1\nmax_items = 1\n", 300).await;
    let execution = rig.bulk(json!({}), jobs("c", 20)).await.unwrap();
    rig.until(&execution, |view| {
        view["counts"]["in_flight"] == 1 && rig.shop.report().calls > 1
    })
    .await
    .unwrap();
    let view = rig
        .act(&format!("/v1/executions/{execution}:cancel"))
        .await
        .unwrap();
    expect_sum(&view);
    let view = rig.done(&execution).await.unwrap();
    expect_sum(&view);
    assert_eq!(view["status"], "cancelled", "{view}");
    let there = rig.log.objects().await.unwrap().len();
    assert_eq!(view["counts"]["succeeded"], there, "{view}");
    assert_eq!(view["counts"]["cancelled"], 20 - there, "{view}");
    assert!(there > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_job_can_be_cancelled_and_frees_its_key() {
    let rig = rig("partition = \"channel\"\n", 0).await;
    let mut first = category_job("first", &category("first"));
    first["depends_on"] = json!([{"type": "brand", "id": "never"}]);
    let first = rig.submit(first).await.unwrap();
    let waits = rig.until_waits(&first, "dependency").await.unwrap();
    rig.act(&format!(
        "/v1/jobs/{}:cancel",
        waits["id"].as_str().unwrap()
    ))
    .await
    .unwrap();
    assert_eq!(rig.done(&first).await.unwrap()["status"], "cancelled");
    assert_eq!(
        rig.deliver(category_job("second", &category("second")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}
