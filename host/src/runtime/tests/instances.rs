//! Instances that serve several calls, and room for them.

use std::sync::Arc;

use egression_core::domain::outcome::CallError;

use super::super::Connector;
use super::super::call::Call;
use super::{Bench, Scripted, behave, items};

const SETTINGS: &str = r#"{"base_url":"http://shop.test"}"#;

async fn reused(connector: &Arc<Connector>, call: Call) -> bool {
    let end = connector.check(call).await;
    assert!(
        !matches!(end.result, Err(CallError::Trapped(_))),
        "{:?}",
        end.result
    );
    end.reused_instance
}

#[tokio::test]
async fn an_instance_serves_its_tenant_for_a_bounded_number_of_calls() {
    let bench = Bench::new(|settings| settings.calls_per_instance = 3);
    let connector = bench.connector("sandbox").await;
    let abilities = Scripted::answering("{}");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(reused(&connector, bench.call(SETTINGS, &abilities)).await);
    }
    assert_eq!(seen, [false, true, true, false, true]);
    let mut other = bench.call(SETTINGS, &abilities);
    other.connection.subscription = "globex".into();
    assert!(
        !reused(&connector, other).await,
        "memory never passes to another tenant"
    );
    drop(connector);
    assert_eq!(
        bench.runtime.free_slots(),
        4,
        "idle instances go with their connector"
    );
}

#[tokio::test]
async fn an_instance_serves_nobody_after_a_trap() {
    let bench = Bench::new(|settings| settings.grace_ms = 50);
    let connector = bench.connector("sandbox").await;
    let abilities = Scripted::answering("{}");
    assert!(!reused(&connector, bench.call(SETTINGS, &abilities)).await);
    let end = connector
        .check(bench.call_until(SETTINGS, &Scripted::holding(), 50))
        .await;
    assert!(
        matches!(&end.result, Err(CallError::Trapped(problem)) if problem.code == "guest.deadline"),
        "{:?}",
        end.result
    );
    assert!(end.reused_instance);
    assert!(!reused(&connector, bench.call(SETTINGS, &abilities)).await);
}

#[tokio::test]
async fn a_connector_that_is_not_reusable_gets_a_fresh_instance_each_time() {
    let bench = Bench::new(|_| ());
    let connector = bench.connector("hostile").await;
    for _ in 0..2 {
        let end = connector
            .deliver(
                bench.call(&behave("ok"), &Scripted::answering("{}")),
                items([0]),
            )
            .await;
        assert!(end.result.is_ok() && !end.reused_instance);
    }
}

#[tokio::test]
async fn idle_instances_give_way_to_who_needs_a_slot() {
    let bench = Bench::new(|settings| settings.slots = 1);
    let (sandbox, hostile) = (
        bench.connector("sandbox").await,
        bench.connector("hostile").await,
    );
    let abilities = Scripted::answering("{}");
    assert!(!reused(&sandbox, bench.call(SETTINGS, &abilities)).await);
    assert_eq!(
        bench.runtime.free_slots(),
        0,
        "an idle instance holds the only slot"
    );
    assert!(
        hostile
            .deliver(bench.call(&behave("ok"), &abilities), items([0]))
            .await
            .result
            .is_ok()
    );
    assert!(
        !reused(&sandbox, bench.call(SETTINGS, &abilities)).await,
        "it had to go"
    );
}

#[tokio::test]
async fn an_instance_that_nobody_uses_goes() {
    let bench = Bench::new(|settings| settings.idle_instance_ms = 20);
    let sandbox = bench.connector("sandbox").await;
    let abilities = Scripted::answering("{}");
    assert!(!reused(&sandbox, bench.call(SETTINGS, &abilities)).await);
    while bench.runtime.free_slots() < 4 {
        tokio::task::yield_now().await;
    }
    assert!(
        !reused(&sandbox, bench.call(SETTINGS, &abilities)).await,
        "its memory and its slot are free"
    );
}

#[tokio::test]
async fn who_finds_no_slot_within_the_deadline_hears_so() {
    let bench = Bench::new(|settings| settings.slots = 1);
    let connector = bench.connector("hostile").await;
    let holding = Scripted::holding();
    let first = {
        let (connector, call) = (
            Arc::clone(&connector),
            bench.call(&behave("reach"), &holding),
        );
        tokio::spawn(async move { connector.deliver(call, items([0])).await })
    };
    holding.arrived.notified().await;
    let end = connector
        .deliver(bench.call_until(&behave("ok"), &holding, 20), items([0]))
        .await;
    assert!(
        matches!(&end.result, Err(CallError::NotRun(problem)) if problem.code == "runtime.no_slot"),
        "{:?}",
        end.result
    );
    holding.answers.add_permits(1);
    assert!(first.await.unwrap().result.is_ok());
    assert_eq!(bench.runtime.free_slots(), 1);
}
