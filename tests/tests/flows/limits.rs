//! Limits that count something else than requests, or in fixed windows.

use egression_tests::follow::{self, upsert};
use egression_tests::hostile::{self, HostileChannel};
use egression_tests::target::Target;
use serde_json::{Value, json};

use crate::rig::{CHANNEL, Layout, Rig, category, category_job, waiting};

const OBJECTS: usize = 300;
const LOOPBACK: &str = "allow_addresses = [\"127.0.0.1/32\"]";

/// A channel whose limit counts items.
async fn of_items(max: u64, window_ms: u64) -> Rig {
    let channel = format!(
        "limits = [{{ kind = \"window\", counts = \"items\", max = {max}, window_ms = {window_ms} }}]\n"
    );
    Layout {
        channel,
        ..Layout::default()
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

/// A shop that admits so many items, whatever the requests: it counts them in its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_on_items_is_kept_by_batches_of_any_size() {
    const MAX: u64 = 60;
    const WINDOW_MS: u64 = 1000;
    let rig = of_items(MAX, WINDOW_MS).await;
    let execution = rig.bulk(json!({}), jobs("c", OBJECTS)).await.unwrap();
    rig.expect_all_succeeded(&execution, OBJECTS as u64)
        .await
        .unwrap();

    let calls: Vec<(u64, u64)> = rig
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
        "batches carry many items: {calls:?}"
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
async fn a_batch_that_costs_more_than_a_limit_ever_admits_is_halved() {
    let rig = of_items(20, 1000).await;
    let execution = rig.bulk(json!({}), jobs("c", 50)).await.unwrap();
    rig.expect_all_succeeded(&execution, 50).await.unwrap();
    let calls = rig.log.calls().await.unwrap();
    assert!(calls.iter().all(|call| call.items <= 20), "{calls:?}");
}

/// What a call could not send waits, with its outcomes written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_without_room_until_tomorrow_waits_and_is_not_lost() {
    let rig = of_items(60, 86_400_000).await;
    let small = rig.bulk(json!({}), jobs("a", 20)).await.unwrap();
    rig.expect_all_succeeded(&small, 20).await.unwrap();
    // Twenty cost twenty, so there is room for two such calls, as far as admission can tell; this
    // one needs fifty.
    let large = rig.bulk(json!({}), jobs("b", 50)).await.unwrap();
    let view = rig
        .until(&large, |view| waiting(view, "retry") == 50)
        .await
        .unwrap();
    assert_eq!(
        (&view["counts"]["waiting"], &view["counts"]["in_flight"]),
        (&json!(50), &json!(0)),
        "{view}"
    );
    let job = rig.jobs(&large).await.unwrap().remove(0);
    assert_eq!(job["attempts"], 0, "nothing left: {job}");
    assert!(rig.stages(&job, "limited").await.unwrap() >= 1, "{job}");
    assert_eq!(rig.log.objects().await.unwrap().len(), 20);
}

/// An object that alone costs more than a limit admits fails alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_that_costs_too_much_keeps_nobody_else() {
    let channel = "retry = { base_ms = 1, max_ms = 5, attempts = 2 }\nlimits = [{ kind = \"window\", counts = \"weight\", max = 5, window_ms = 1000 }]";
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
        job["problem"].to_string().contains("takes 6 of the limit"),
        "{job:#}"
    );
    let light = follow::submit_and_wait(&rest, &upsert("weigh", "5"))
        .await
        .unwrap();
    assert_eq!(light["status"], "succeeded", "{light:#}");
}

/// Until the next week begins nothing more is sent, and the host says until when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_fixed_window_waits_for_the_next_one_also_after_a_restart() {
    let mut rig = Layout {
        // A quota that starts anew on Mondays at midnight on the west coast.
        channel: "limits = [{ kind = \"window\", max = 5, window_ms = 604800000, anchor = \"2026-01-05T00:00:00-08:00\" }]\n".to_owned(),
        mode: "single",
        ..Layout::default()
    }
    .start()
    .await
    .unwrap();
    let execution = rig.bulk(json!({}), jobs("c", 8)).await.unwrap();
    let view = rig
        .until(&execution, |view| waiting(view, "limit") == 4)
        .await
        .unwrap();
    assert!(until(&view).contains("T08:00:0"), "{view:#}");
    assert_eq!(
        rig.log.objects().await.unwrap().len(),
        4,
        "the fifth request was for the token"
    );
    rig.restart().await.unwrap();
    let view = rig
        .until(&execution, |view| waiting(view, "limit") == 4)
        .await
        .unwrap();
    assert!(until(&view).contains("T08:00:0"), "{view:#}");
    assert_eq!(
        rig.log.objects().await.unwrap().len(),
        4,
        "what was used before counts"
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
