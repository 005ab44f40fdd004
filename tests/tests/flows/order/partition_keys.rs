//! Order within a partition key, compared with the log of the shop.

use std::collections::HashMap;

use egression_sandbox::{Faults, Scenario, canonical_digest};
use egression_tests::order::{AcceptedOrder, Delivered};
use serde_json::json;

use crate::harness::{CHANNEL, FAST_RETRY, Setup, category, category_job};

/// Updates some objects in turn, with one key for all or one key per object.
async fn keeps_order(partition: &str, mode: &'static str, objects: usize, jobs: usize, share: f64) {
    let faults = Faults {
        error_5xx: share,
        drop_after_write: share,
        ..Faults::default()
    };
    let harness = Setup {
        scenario: Scenario {
            faults,
            seed: 4711,
            ..Scenario::default()
        },
        channel: format!("partition = \"{partition}\"\nmerge = false\n{FAST_RETRY}"),
        mode,
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let (mut order, mut requests, mut last) =
        (AcceptedOrder::default(), Vec::new(), HashMap::new());
    for n in 0..jobs {
        let (id, body) = (
            format!("c{}", n % objects),
            category(&format!("update {n}")),
        );
        let digest = canonical_digest(&body);
        order.push(
            if partition == "channel" { "all" } else { &id },
            "category",
            &id,
            &digest,
        );
        requests.push(category_job(&id, &body));
        last.insert(id, digest);
    }
    // Two requests, so that the order holds across executions, too.
    let second = requests.split_off(jobs / 2);
    let first = harness.bulk(json!({}), requests).await.unwrap();
    let second = harness.bulk(json!({}), second).await.unwrap();
    harness
        .expect_all_succeeded(&first, jobs as u64 / 2)
        .await
        .unwrap();
    harness
        .expect_all_succeeded(&second, jobs as u64 / 2)
        .await
        .unwrap();

    let delivered = order.judge(&harness.log.writes().await.unwrap());
    assert_eq!(
        delivered,
        Delivered {
            repeated_same_key: delivered.repeated_same_key,
            ..Delivered::default()
        }
    );
    let report = harness.shop.report();
    assert!(
        delivered.repeated_same_key <= report.dropped_items + report.error_5xx_items,
        "{report:?}"
    );
    assert!(
        report.error_5xx_calls > 0 && report.dropped_calls > 0,
        "{report:?}"
    );
    let there: HashMap<_, _> = harness
        .log
        .objects()
        .await
        .unwrap()
        .into_iter()
        .map(|object| (object.id, object.digest))
        .collect();
    assert_eq!(there, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channel_key_orders_the_whole_channel() {
    keeps_order("channel", "single", 7, 200, 0.06).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_key_orders_each_object() {
    keeps_order("object", "batch", 30, 600, 0.2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_behind_another_reports_the_reason() {
    let slow = Faults {
        error_5xx: 1.0,
        ..Faults::default()
    };
    let harness = Setup {
        scenario: Scenario {
            faults: slow,
            ..Scenario::default()
        },
        channel: "partition = \"channel\"\nretry = { base_ms = 3600000, max_ms = 7200000 }\n"
            .to_owned(),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let first = harness
        .submit(category_job("a", &category("a")))
        .await
        .unwrap();
    harness.until_waits(&first, "retry").await.unwrap();
    let second = harness
        .submit(category_job("b", &category("b")))
        .await
        .unwrap();
    let job = harness.until_waits(&second, "partition").await.unwrap();
    assert_eq!(
        (&job["waiting"]["ahead"], &job["waiting"]["key"]),
        (&json!(1), &job["partition_key"]),
        "{job}"
    );
    assert_eq!(
        harness.jobs(&second).await.unwrap()[0]["waiting"],
        job["waiting"],
        "the list shows the same reason"
    );
    let head = harness.view(&first).await.unwrap();
    assert_eq!(
        head["status"], "running",
        "its job was sent and waits for a retry: {head}"
    );
    let retry = &head["channels"][0]["waiting"][0];
    assert_eq!(
        (&retry["kind"], &retry["until"]),
        (
            &json!("retry"),
            &harness.only_job(&first).await.unwrap()["waiting"]["until"]
        )
    );
    assert!(retry["until"].is_string(), "{retry}");
    // A pause of the execution is the first reason. A pause of the channel does not replace the job
    // ahead as the reason.
    harness
        .act(&format!("/v1/executions/{second}:pause"))
        .await
        .unwrap();
    harness.until_waits(&second, "paused").await.unwrap();
    harness
        .act(&format!("/v1/executions/{second}:resume"))
        .await
        .unwrap();
    harness.act("/v1/channels/shop:pause").await.unwrap();
    harness.until_waits(&second, "partition").await.unwrap();
    assert_eq!(
        harness.log.writes().await.unwrap().len(),
        1,
        "no job overtakes the head"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_head_blocks_its_key_if_configured() {
    let harness = Setup {
        channel: "on_rejected = \"block\"\nmerge = false\n".to_owned(),
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let create = |text: &str| {
        let mut job = category_job("c", &category(text));
        job["action"] = json!("create");
        job
    };
    assert_eq!(
        harness.deliver(create("first")).await.unwrap()["state"],
        "succeeded"
    );
    let refused = harness.deliver(create("again")).await.unwrap();
    assert_eq!(
        (&refused["state"], &refused["problem"]["code"]),
        (&json!("rejected"), &json!("version.exists")),
        "{refused}"
    );
    let next = harness
        .submit(category_job("c", &category("next")))
        .await
        .unwrap();
    harness.until_waits(&next, "blocked").await.unwrap();
    assert_eq!(
        harness
            .deliver(category_job("d", &category("another key")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

/// A connector in single mode sends each item's `Idempotency-Key`, so each job's history has only
/// its own request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_history_has_only_its_own_request() {
    let harness = Setup {
        mode: "single",
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    harness
        .act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    let jobs = (0..12)
        .map(|n| category_job(&format!("own-{n:02}"), &category("x")))
        .collect();
    let execution = harness.bulk(json!({}), jobs).await.unwrap();
    harness
        .act(&format!("/v1/channels/{CHANNEL}:resume"))
        .await
        .unwrap();
    harness.expect_all_succeeded(&execution, 12).await.unwrap();
    for job in harness.jobs(&execution).await.unwrap() {
        let id = job["object"]["id"].as_str().unwrap().to_owned();
        let events = harness.events(&job).await.unwrap();
        let urls = events
            .iter()
            .filter(|event| event["stage"] == "responded")
            .filter_map(|event| event["detail"]["url"].as_str());
        let objects: Vec<&str> = urls.filter(|url| url.contains("own-")).collect();
        assert!(
            objects.len() == 1 && objects[0].ends_with(&id),
            "{id}: {objects:?}"
        );
    }
}
