//! Order inside a partition key, held against the shop's log.

use std::collections::HashMap;

use egression_sandbox::{Faults, Scenario, canonical_digest};
use egression_tests::order::{AcceptedOrder, Delivered};
use serde_json::json;

use crate::rig::{CHANNEL, FAST_RETRY, Layout, category, category_job};

/// Updates of some objects in turn, all in one key or in one key each.
async fn keeps_order(partition: &str, mode: &'static str, objects: usize, jobs: usize, share: f64) {
    let faults = Faults {
        error_5xx: share,
        drop_after_write: share,
        ..Faults::default()
    };
    let rig = Layout {
        scenario: Scenario {
            faults,
            seed: 4711,
            ..Scenario::default()
        },
        channel: format!("partition = \"{partition}\"\nmerge = false\n{FAST_RETRY}"),
        mode,
        ..Layout::default()
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
    // Two requests, so that the order holds across executions as well.
    let second = requests.split_off(jobs / 2);
    let first = rig.bulk(json!({}), requests).await.unwrap();
    let second = rig.bulk(json!({}), second).await.unwrap();
    rig.expect_all_succeeded(&first, jobs as u64 / 2)
        .await
        .unwrap();
    rig.expect_all_succeeded(&second, jobs as u64 / 2)
        .await
        .unwrap();

    let delivered = order.judge(&rig.log.writes().await.unwrap());
    assert_eq!(
        delivered,
        Delivered {
            repeated_same_key: delivered.repeated_same_key,
            ..Delivered::default()
        }
    );
    let report = rig.shop.report();
    assert!(
        delivered.repeated_same_key <= report.dropped_items + report.error_5xx_items,
        "{report:?}"
    );
    assert!(
        report.error_5xx_calls > 0 && report.dropped_calls > 0,
        "{report:?}"
    );
    let there: HashMap<_, _> = rig
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
async fn one_key_for_a_whole_channel() {
    keeps_order("channel", "single", 7, 200, 0.06).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_for_each_object() {
    keeps_order("object", "batch", 30, 600, 0.2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_behind_another_says_so() {
    let slow = Faults {
        error_5xx: 1.0,
        ..Faults::default()
    };
    let rig = Layout {
        scenario: Scenario {
            faults: slow,
            ..Scenario::default()
        },
        channel: "partition = \"channel\"\nretry = { base_ms = 3600000, max_ms = 7200000 }\n"
            .to_owned(),
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let first = rig.submit(category_job("a", &category("a"))).await.unwrap();
    rig.until_waits(&first, "retry").await.unwrap();
    let second = rig.submit(category_job("b", &category("b"))).await.unwrap();
    let job = rig.until_waits(&second, "partition").await.unwrap();
    assert_eq!(
        (&job["waiting"]["ahead"], &job["waiting"]["key"]),
        (&json!(1), &job["partition_key"]),
        "{job}"
    );
    assert_eq!(
        rig.jobs(&second).await.unwrap()[0]["waiting"],
        job["waiting"],
        "in a list as well"
    );
    let head = rig.view(&first).await.unwrap();
    assert_eq!(
        head["status"], "running",
        "its only job waits again, and was sent: {head}"
    );
    let retry = &head["channels"][0]["waiting"][0];
    assert_eq!(
        (&retry["kind"], &retry["until"]),
        (
            &json!("retry"),
            &rig.only_job(&first).await.unwrap()["waiting"]["until"]
        )
    );
    assert!(retry["until"].is_string(), "{retry}");
    // A pause of its own execution comes first; a pause of its channel does not change what is
    // before it.
    rig.act(&format!("/v1/executions/{second}:pause"))
        .await
        .unwrap();
    rig.until_waits(&second, "paused").await.unwrap();
    rig.act(&format!("/v1/executions/{second}:resume"))
        .await
        .unwrap();
    rig.act("/v1/channels/shop:pause").await.unwrap();
    rig.until_waits(&second, "partition").await.unwrap();
    assert_eq!(
        rig.log.writes().await.unwrap().len(),
        1,
        "nothing overtakes it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_head_blocks_its_key_where_the_channel_says_so() {
    let rig = Layout {
        channel: "on_rejected = \"block\"\nmerge = false\n".to_owned(),
        ..Layout::default()
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
        rig.deliver(create("first")).await.unwrap()["state"],
        "succeeded"
    );
    let refused = rig.deliver(create("again")).await.unwrap();
    assert_eq!(
        (&refused["state"], &refused["problem"]["code"]),
        (&json!("rejected"), &json!("version.exists")),
        "{refused}"
    );
    let next = rig
        .submit(category_job("c", &category("next")))
        .await
        .unwrap();
    rig.until_waits(&next, "blocked").await.unwrap();
    assert_eq!(
        rig.deliver(category_job("d", &category("another key")))
            .await
            .unwrap()["state"],
        "succeeded"
    );
}

/// A connector that sends item by item names each in `Idempotency-Key`, so each job has its own
/// request in its history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_history_has_its_own_request_and_no_others() {
    let rig = Layout {
        mode: "single",
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    rig.act(&format!("/v1/channels/{CHANNEL}:pause"))
        .await
        .unwrap();
    let jobs = (0..12)
        .map(|n| category_job(&format!("own-{n:02}"), &category("x")))
        .collect();
    let execution = rig.bulk(json!({}), jobs).await.unwrap();
    rig.act(&format!("/v1/channels/{CHANNEL}:resume"))
        .await
        .unwrap();
    rig.expect_all_succeeded(&execution, 12).await.unwrap();
    for job in rig.jobs(&execution).await.unwrap() {
        let id = job["object"]["id"].as_str().unwrap().to_owned();
        let events = rig.events(&job).await.unwrap();
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
