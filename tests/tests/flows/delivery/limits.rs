//! Limits that count items or weights, and limits with fixed windows.

use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::target::Target;
use serde_json::{Value, json};

use crate::harness::{CHANNEL, Harness, Setup, category, category_job, waiting};

const OBJECTS: usize = 300;
const LOOPBACK: &str = "allow_addresses = [\"127.0.0.1/32\"]";

/// A channel whose limit counts items.
async fn of_items(max: u64, window_ms: u64) -> Harness {
    let channel = format!(
        "limits = [{{ kind = \"window\", counts = \"items\", \
         max = {max}, window_ms = {window_ms} }}]\n"
    );
    Setup {
        channel,
        ..Setup::default()
    }
    .start()
    .await
    .unwrap()
}

fn jobs(name: &str, count: usize) -> Vec<Value> {
    (0..count)
        .map(|i| category_job(&format!("{name}{i}"), &category("x")))
        .collect()
}

/// The shop admits a number of items, in any number of requests. Its log has the items of each
/// call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_limit_holds_for_any_batch_size() {
    const MAX: u64 = 60;
    const WINDOW_MS: u64 = 1000;
    let harness = of_items(MAX, WINDOW_MS).await;
    let execution = harness.bulk(json!({}), jobs("c", OBJECTS)).await.unwrap();
    harness
        .expect_all_succeeded(&execution, OBJECTS as u64)
        .await
        .unwrap();

    let calls: Vec<(u64, u64)> = harness
        .log
        .calls()
        .await
        .unwrap()
        .iter()
        .filter(|call| call.counted)
        .map(|call| (call.at_us, call.items.max(1)))
        .collect();
    assert!(
        calls.iter().any(|(_, items)| *items > 25),
        "no large batch: {calls:?}"
    );
    for (at, _) in &calls {
        let in_window = calls
            .iter()
            .filter(|(other, _)| (*at..*at + WINDOW_MS * 1000).contains(other));
        let items: u64 = in_window.map(|(_, items)| items).sum();
        assert!(items <= MAX, "{items} items in a window: {calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_above_the_limit_is_halved() {
    let harness = of_items(20, 1000).await;
    let execution = harness.bulk(json!({}), jobs("c", 50)).await.unwrap();
    harness.expect_all_succeeded(&execution, 50).await.unwrap();
    let calls = harness.log.calls().await.unwrap();
    assert!(calls.iter().all(|call| call.items <= 20), "{calls:?}");
}

/// The unsent items of a call wait, and their outcomes are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_waits_for_a_distant_window() {
    let harness = of_items(60, 86_400_000).await;
    let small = harness.bulk(json!({}), jobs("a", 20)).await.unwrap();
    harness.expect_all_succeeded(&small, 20).await.unwrap();
    // Twenty items cost twenty, so admission expects room for two such calls. This one needs fifty.
    let large = harness.bulk(json!({}), jobs("b", 50)).await.unwrap();
    let view = harness
        .until(&large, |view| waiting(view, "retry") == 50)
        .await
        .unwrap();
    assert_eq!(
        (&view["counts"]["waiting"], &view["counts"]["in_flight"]),
        (&json!(50), &json!(0)),
        "{view}"
    );
    let job = harness.jobs(&large).await.unwrap().remove(0);
    assert_eq!(job["attempts"], 0, "an unsent job spends no attempt: {job}");
    assert!(harness.stages(&job, "limited").await.unwrap() >= 1, "{job}");
    assert_eq!(harness.log.objects().await.unwrap().len(), 20);
}

/// An object that costs more than the limit admits fails alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_costly_object_delays_no_other() {
    let channel = "retry = { base_ms = 1, max_ms = 5, attempts = 2 }\n\
                   limits = [\
                   { kind = \"window\", counts = \"weight\", max = 5, window_ms = 1000 }]";
    let target = Target::start().await.unwrap();
    let weighs = HostileChannel::new("weigh")
        .channel(channel)
        .setting("target_url", &target.url(""))
        .connection(LOOPBACK);
    let host = hostile::start("", &[weighs]).await.unwrap();
    let rest = host.rest().unwrap();
    let heavy = follow::submit_and_wait(&rest, &upsert("weigh", "6"))
        .await
        .unwrap();
    assert_eq!(heavy["status"], "failed", "{heavy:#}");
    let job = follow::jobs(&rest, &heavy).await.unwrap().remove(0);
    assert_eq!(
        (&job["state"], &job["attempts"]),
        (&json!("failed"), &json!(2)),
        "{job:#}"
    );
    assert!(
        job["problem"].to_string().contains("costs 6 of the limit"),
        "{job:#}"
    );
    let light = follow::submit_and_wait(&rest, &upsert("weigh", "5"))
        .await
        .unwrap();
    assert_eq!(light["status"], "succeeded", "{light:#}");
}

/// The host sends nothing more until the next week begins, and reports that time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fixed_window_survives_a_restart() {
    let mut harness = Setup {
        // The quota starts anew every Monday at midnight, Pacific time.
        channel: "limits = [{ kind = \"window\", max = 5, window_ms = 604800000, \
                  anchor = \"2026-01-05T00:00:00-08:00\" }]\n"
            .to_owned(),
        mode: "single",
        ..Setup::default()
    }
    .start()
    .await
    .unwrap();
    let execution = harness.bulk(json!({}), jobs("c", 8)).await.unwrap();
    let view = harness
        .until(&execution, |view| waiting(view, "limit") == 4)
        .await
        .unwrap();
    assert!(until(&view).contains("T08:00:0"), "{view:#}");
    assert_eq!(
        harness.log.objects().await.unwrap().len(),
        4,
        "the token took the fifth request"
    );
    harness.restart().await.unwrap();
    let view = harness
        .until(&execution, |view| waiting(view, "limit") == 4)
        .await
        .unwrap();
    assert!(until(&view).contains("T08:00:0"), "{view:#}");
    assert_eq!(
        harness.log.objects().await.unwrap().len(),
        4,
        "the restart keeps the usage"
    );
}

fn until(view: &Value) -> String {
    let groups = view["channels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|channel| channel["channel"] == CHANNEL);
    let groups = groups.flat_map(|channel| channel["waiting"].as_array().into_iter().flatten());
    groups.filter_map(|group| group["until"].as_str()).collect()
}
