//! Guests that misbehave. Each runs next to a neighbor that must not notice.

use std::sync::Arc;

use egression_core::domain::outcome::{CallError, Outcome};
use tokio::task::JoinHandle;

use super::{Harness, ScriptedAbilities, behave, items};
use crate::runtime::Connector;
use crate::runtime::connector_call::{DeliveryEnd, LogLevel};

const DELIVERED: Outcome = Outcome::Delivered {
    remotes: Vec::new(),
    changed: true,
    warnings: Vec::new(),
};

/// The problem code of a trap.
#[track_caller]
fn trapped(end: &DeliveryEnd) -> &str {
    match &end.result {
        Err(CallError::Trapped(problem)) => &problem.code,
        other => panic!("not a trap: {other:?}"),
    }
}

fn start(
    harness: &Harness,
    connector: &Arc<Connector>,
    how: &str,
    abilities: &Arc<ScriptedAbilities>,
) -> JoinHandle<DeliveryEnd> {
    let call = harness.call(&behave(how), abilities);
    let connector = Arc::clone(connector);
    tokio::spawn(async move { connector.deliver(call, items([0, 1, 2])).await })
}

/// A well-behaved call in another instance.
async fn neighbor(harness: &Harness, connector: &Arc<Connector>) {
    let end = start(
        harness,
        connector,
        "ok",
        &ScriptedAbilities::answering("{}"),
    )
    .await
    .unwrap();
    assert_eq!(
        end.result.unwrap(),
        [(0, DELIVERED), (1, DELIVERED), (2, DELIVERED)]
    );
}

async fn run(how: &str) -> (Harness, DeliveryEnd) {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("hostile").await;
    let bad = start(
        &harness,
        &connector,
        how,
        &ScriptedAbilities::answering("{}"),
    );
    let ((), end) = tokio::join!(neighbor(&harness, &connector), bad);
    neighbor(&harness, &connector).await;
    assert_eq!(harness.runtime.free_slots(), 4, "every instance is gone");
    (harness, end.unwrap())
}

#[tokio::test]
async fn loop_ends_with_its_budget_and_yields_to_neighbors() {
    // All guests share one thread, so the neighbor only runs because the loop yields.
    let harness = Harness::new(|settings| settings.cpu_budget_ms = 2_000);
    let connector = harness.connector("hostile").await;
    let bad = start(
        &harness,
        &connector,
        "loop",
        &ScriptedAbilities::answering("{}"),
    );
    while harness.runtime.free_slots() == 4 {
        tokio::task::yield_now().await;
    }
    neighbor(&harness, &connector).await;
    assert!(
        !bad.is_finished(),
        "the neighbor needs a few ticks, the loop 200"
    );
    let end = bad.await.unwrap();
    assert_eq!(trapped(&end), "guest.cpu_budget");
    assert!(
        end.cpu_us >= 2_000_000,
        "it used its budget: {}",
        end.cpu_us
    );
    assert_eq!(harness.runtime.free_slots(), 4);
}

#[tokio::test]
async fn sleeping_guest_does_not_delay_neighbors() {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("hostile").await;
    let bad = start(
        &harness,
        &connector,
        "sleep",
        &ScriptedAbilities::answering("{}"),
    );
    while harness.runtime.free_slots() == 4 {
        tokio::task::yield_now().await;
    }
    neighbor(&harness, &connector).await;
    assert!(!bad.is_finished());
}

#[tokio::test]
async fn sleeping_guest_ends_at_the_deadline() {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("hostile").await;
    let call = harness.call_until(&behave("sleep"), &ScriptedAbilities::answering("{}"), 200);
    let end = connector.deliver(call, items([0])).await;
    assert_eq!(trapped(&end), "guest.deadline");
    assert_eq!(harness.runtime.free_slots(), 4, "its instance is gone");
}

#[tokio::test]
async fn computing_guest_ends_after_the_grace_time() {
    let harness = Harness::new(|settings| {
        settings.cpu_budget_ms = 60_000;
        settings.grace_ms = 50;
    });
    let connector = harness.connector("hostile").await;
    let end = connector
        .deliver(
            harness.call_until(&behave("loop"), &ScriptedAbilities::answering("{}"), 50),
            items([0]),
        )
        .await;
    assert_eq!(trapped(&end), "guest.deadline");
}

#[tokio::test]
async fn waiting_costs_no_cpu_budget() {
    let harness = Harness::new(|settings| settings.cpu_budget_ms = 100);
    let connector = harness.connector("hostile").await;
    let abilities = ScriptedAbilities::holding();
    let waiting = start(&harness, &connector, "reach", &abilities);
    abilities.arrived.notified().await;
    // When the loop has used its budget, the waiting guest has waited at least as long.
    let looped = start(
        &harness,
        &connector,
        "loop",
        &ScriptedAbilities::answering("{}"),
    )
    .await
    .unwrap();
    assert_eq!(trapped(&looped), "guest.cpu_budget");
    abilities.answers.add_permits(1);
    let end = waiting.await.unwrap();
    assert!(
        end.result.is_ok() && end.cpu_us < 100_000,
        "{:?}",
        end.result
    );
}

#[tokio::test]
async fn trap_reports_the_last_lines_of_the_guest() {
    let (_bench, end) = run("trap").await;
    assert_eq!(trapped(&end), "guest.trap");
    let Err(CallError::Trapped(problem)) = &end.result else {
        return;
    };
    assert!(
        end.logs
            .iter()
            .any(|line| line.level == LogLevel::Warn && line.message.contains("told to trap")),
        "{:?}",
        end.logs
    );
    assert!(
        problem.message.contains("unreachable") && problem.message.contains("told to trap"),
        "{}",
        problem.message
    );
}

#[tokio::test]
async fn memory_of_a_guest_is_bounded() {
    let (_bench, end) = run("eat_memory").await;
    assert_eq!(trapped(&end), "guest.memory");
}

#[tokio::test]
async fn log_flood_is_cut_and_counted() {
    let harness = Harness::new(|settings| {
        settings.log.total_bytes = 1024 * 1024;
        // The guest writes a gigabyte of lines, and the machine may be busy.
        settings.cpu_budget_ms = 60_000;
    });
    let connector = harness.connector("hostile").await;
    let bad = start(
        &harness,
        &connector,
        "flood_log",
        &ScriptedAbilities::answering("{}"),
    );
    neighbor(&harness, &connector).await;
    let end = bad.await.unwrap();
    assert_eq!(end.result.unwrap().len(), 3);
    assert_eq!(end.logs.len(), 201);
    assert!(end.logs.iter().all(|line| line.message.len() <= 2_048));
    assert_eq!(end.logs[200].message, "… 99800 lines dropped");
}

#[tokio::test]
async fn outcome_of_an_unknown_item_is_ignored_and_logged() {
    let (_bench, end) = run("wrong_index").await;
    assert_eq!(end.result.unwrap(), []);
    assert!(
        end.logs
            .iter()
            .any(|line| line.message.contains("4000000000")),
        "{:?}",
        end.logs
    );
}

#[tokio::test]
async fn first_of_two_outcomes_counts() {
    let (_bench, end) = run("twice").await;
    assert_eq!(
        end.result.unwrap(),
        [(0, DELIVERED), (1, DELIVERED), (2, DELIVERED)]
    );
    assert_eq!(
        end.logs
            .iter()
            .filter(|line| line.message.contains("twice"))
            .count(),
        3
    );
}

#[tokio::test]
async fn missing_outcome_stays_missing() {
    let (_bench, end) = run("missing_index").await;
    assert_eq!(end.result.unwrap(), [(1, DELIVERED), (2, DELIVERED)]);
}

#[tokio::test]
async fn reported_outcomes_survive_a_trap() {
    let (_bench, end) = run("report_then_trap").await;
    assert_eq!(trapped(&end), "guest.trap");
    assert_eq!(end.reported, [(0, DELIVERED)]);
}

#[tokio::test]
async fn trap_after_a_write_follows_the_answer() {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("hostile").await;
    let abilities = ScriptedAbilities::holding();
    let bad = start(&harness, &connector, "trap_after_write", &abilities);
    abilities.arrived.notified().await;
    neighbor(&harness, &connector).await;
    assert!(!bad.is_finished(), "it waits for its answer");
    abilities.answers.add_permits(1);
    let end = bad.await.unwrap();
    assert_eq!(trapped(&end), "guest.trap");
    let sent = abilities.sent();
    assert_eq!(
        (sent.len(), sent[0].method.as_str(), sent[0].reads_only),
        (1, "PUT", false)
    );
    assert_eq!(sent[0].url, "http://shop.test/products");
}

#[tokio::test]
async fn log_of_a_guest_is_redacted() {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("hostile").await;
    let end = start(
        &harness,
        &connector,
        "echo_secret",
        &ScriptedAbilities::answering("the password is hunter2"),
    )
    .await
    .unwrap();
    let lines: Vec<&str> = end.logs.iter().map(|line| line.message.as_str()).collect();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("the password is ***")),
        "{lines:?}"
    );
    assert!(
        lines.iter().all(|line| !line.contains("hunter2")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn ability_that_does_not_return_traps_the_guest() {
    let harness = Harness::new(|settings| settings.grace_ms = 50);
    let connector = harness.connector("hostile").await;
    let call = harness.call_until(&behave("reach"), &ScriptedAbilities::holding(), 50);
    let end = connector.deliver(call, items([0])).await;
    assert_eq!(trapped(&end), "guest.deadline");
}

#[tokio::test]
async fn guest_that_polls_without_end_uses_up_its_budget() {
    let (_bench, end) = run("poll_forever").await;
    assert_eq!(trapped(&end), "guest.cpu_budget");
}

#[tokio::test]
async fn memory_of_all_guests_is_bounded() {
    let harness = Harness::new(|settings| {
        settings.memory_bytes = 128 * 1024 * 1024;
        // 4 MiB for each of 4 slots, and 16 MiB in common.
        settings.guest_memory_total_bytes = 32 * 1024 * 1024;
        settings.cpu_budget_ms = 60_000;
    });
    let connector = harness.connector("hostile").await;
    let bad = start(
        &harness,
        &connector,
        "eat_memory",
        &ScriptedAbilities::answering("{}"),
    );
    neighbor(&harness, &connector).await;
    let end = bad.await.unwrap();
    assert_eq!(trapped(&end), "guest.memory_total");
    let Err(CallError::Trapped(problem)) = &end.result else {
        return;
    };
    assert!(
        problem.message.contains("runtime.guest_memory_total_bytes"),
        "{}",
        problem.message
    );
    neighbor(&harness, &connector).await;
}
