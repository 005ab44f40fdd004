//! Guests that misbehave, each beside a neighbour that must not notice.

use std::sync::Arc;

use egression_core::domain::outcome::{CallError, Outcome};
use tokio::task::JoinHandle;

use super::super::Connector;
use super::super::call::{DeliveryEnd, LogLevel};
use super::{Bench, Scripted, behave, items};

const DELIVERED: Outcome = Outcome::Delivered {
    remotes: Vec::new(),
    changed: true,
    warnings: Vec::new(),
};

/// The code of a trap.
#[track_caller]
fn trapped(end: &DeliveryEnd) -> &str {
    match &end.result {
        Err(CallError::Trapped(problem)) => &problem.code,
        other => panic!("not a trap: {other:?}"),
    }
}

fn start(
    bench: &Bench,
    connector: &Arc<Connector>,
    how: &str,
    abilities: &Arc<Scripted>,
) -> JoinHandle<DeliveryEnd> {
    let call = bench.call(&behave(how), abilities);
    let connector = Arc::clone(connector);
    tokio::spawn(async move { connector.deliver(call, items([0, 1, 2])).await })
}

/// A well-behaved call of another instance.
async fn neighbour(bench: &Bench, connector: &Arc<Connector>) {
    let end = start(bench, connector, "ok", &Scripted::answering("{}"))
        .await
        .unwrap();
    assert_eq!(
        end.result.unwrap(),
        [(0, DELIVERED), (1, DELIVERED), (2, DELIVERED)]
    );
}

async fn run(how: &str) -> (Bench, DeliveryEnd) {
    let bench = Bench::new(|_| ());
    let connector = bench.connector("hostile").await;
    let bad = start(&bench, &connector, how, &Scripted::answering("{}"));
    let ((), end) = tokio::join!(neighbour(&bench, &connector), bad);
    neighbour(&bench, &connector).await;
    assert_eq!(bench.runtime.free_slots(), 4, "every instance is gone");
    (bench, end.unwrap())
}

#[tokio::test]
async fn a_loop_ends_with_its_budget_and_neighbours_run_between_its_ticks() {
    // A single thread for all guests: the neighbour comes to run only because the loop yields.
    let bench = Bench::new(|settings| settings.cpu_budget_ms = 2_000);
    let connector = bench.connector("hostile").await;
    let bad = start(&bench, &connector, "loop", &Scripted::answering("{}"));
    while bench.runtime.free_slots() == 4 {
        tokio::task::yield_now().await;
    }
    neighbour(&bench, &connector).await;
    assert!(
        !bad.is_finished(),
        "the neighbour needs a few ticks, the loop 200"
    );
    let end = bad.await.unwrap();
    assert_eq!(trapped(&end), "guest.cpu_budget");
    assert!(end.cpu_us >= 2_000_000, "it had its budget: {}", end.cpu_us);
    assert_eq!(bench.runtime.free_slots(), 4);
}

#[tokio::test]
async fn who_sleeps_for_an_hour_holds_up_nobody() {
    let bench = Bench::new(|_| ());
    let connector = bench.connector("hostile").await;
    let bad = start(&bench, &connector, "sleep", &Scripted::answering("{}"));
    while bench.runtime.free_slots() == 4 {
        tokio::task::yield_now().await;
    }
    neighbour(&bench, &connector).await;
    assert!(!bad.is_finished());
}

#[tokio::test]
async fn who_sleeps_for_an_hour_ends_at_the_deadline() {
    let bench = Bench::new(|_| ());
    let connector = bench.connector("hostile").await;
    let call = bench.call_until(&behave("sleep"), &Scripted::answering("{}"), 200);
    let end = connector.deliver(call, items([0])).await;
    assert_eq!(trapped(&end), "guest.deadline");
    assert_eq!(bench.runtime.free_slots(), 4, "its instance is gone");
}

#[tokio::test]
async fn who_computes_past_the_deadline_ends_after_the_grace() {
    let bench = Bench::new(|settings| {
        settings.cpu_budget_ms = 60_000;
        settings.grace_ms = 50;
    });
    let connector = bench.connector("hostile").await;
    let end = connector
        .deliver(
            bench.call_until(&behave("loop"), &Scripted::answering("{}"), 50),
            items([0]),
        )
        .await;
    assert_eq!(trapped(&end), "guest.deadline");
}

#[tokio::test]
async fn waiting_costs_no_budget() {
    let bench = Bench::new(|settings| settings.cpu_budget_ms = 100);
    let connector = bench.connector("hostile").await;
    let abilities = Scripted::holding();
    let waiting = start(&bench, &connector, "reach", &abilities);
    abilities.arrived.notified().await;
    // When the loop has used its budget, at least as much time has passed for the one that waits.
    let looped = start(&bench, &connector, "loop", &Scripted::answering("{}"))
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
async fn a_trap_says_what_the_guest_said_last() {
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
async fn who_eats_memory_gets_no_more_than_the_bound() {
    let (_bench, end) = run("eat_memory").await;
    assert_eq!(trapped(&end), "guest.memory");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted() {
    let bench = Bench::new(|settings| {
        settings.log.total_bytes = 1024 * 1024;
        // A gigabyte of lines has to be looked at, on a machine that may have other things to do.
        settings.cpu_budget_ms = 60_000;
    });
    let connector = bench.connector("hostile").await;
    let bad = start(&bench, &connector, "flood_log", &Scripted::answering("{}"));
    neighbour(&bench, &connector).await;
    let end = bad.await.unwrap();
    assert_eq!(end.result.unwrap().len(), 3);
    assert_eq!(end.logs.len(), 201);
    assert!(end.logs.iter().all(|line| line.message.len() <= 2_048));
    assert_eq!(end.logs[200].message, "… 99800 lines dropped");
}

#[tokio::test]
async fn an_index_that_was_not_asked_is_ignored_and_logged() {
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
async fn the_first_of_two_answers_counts() {
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
async fn a_missing_index_stays_missing() {
    let (_bench, end) = run("missing_index").await;
    assert_eq!(end.result.unwrap(), [(1, DELIVERED), (2, DELIVERED)]);
}

#[tokio::test]
async fn what_was_reported_survives_a_trap() {
    let (_bench, end) = run("report_then_trap").await;
    assert_eq!(trapped(&end), "guest.trap");
    assert_eq!(end.reported, [(0, DELIVERED)]);
}

#[tokio::test]
async fn a_trap_after_a_write_comes_when_the_write_is_answered() {
    let bench = Bench::new(|_| ());
    let connector = bench.connector("hostile").await;
    let abilities = Scripted::holding();
    let bad = start(&bench, &connector, "trap_after_write", &abilities);
    abilities.arrived.notified().await;
    neighbour(&bench, &connector).await;
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
async fn what_a_guest_logs_is_redacted() {
    let bench = Bench::new(|_| ());
    let connector = bench.connector("hostile").await;
    let end = start(
        &bench,
        &connector,
        "echo_secret",
        &Scripted::answering("the password is hunter2"),
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
async fn an_ability_that_does_not_end_costs_the_guest_its_life() {
    let bench = Bench::new(|settings| settings.grace_ms = 50);
    let connector = bench.connector("hostile").await;
    let call = bench.call_until(&behave("reach"), &Scripted::holding(), 50);
    let end = connector.deliver(call, items([0])).await;
    assert_eq!(trapped(&end), "guest.deadline");
}
