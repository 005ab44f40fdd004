//! Instances that serve several calls, and the slots that they hold.

use std::sync::Arc;

use egression_core::domain::outcome::CallError;

use super::{Harness, ScriptedAbilities, behave, items};
use crate::runtime::Connector;
use crate::runtime::connector_call::Call;

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
async fn instance_serves_a_bounded_number_of_calls_of_its_tenant() {
    let harness = Harness::new(|settings| settings.calls_per_instance = 3);
    let connector = harness.connector("sandbox").await;
    let abilities = ScriptedAbilities::answering("{}");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(reused(&connector, harness.call(SETTINGS, &abilities)).await);
    }
    assert_eq!(seen, [false, true, true, false, true]);
    let mut other = harness.call(SETTINGS, &abilities);
    other.connection.subscription = "globex".into();
    assert!(
        !reused(&connector, other).await,
        "memory never passes to another tenant"
    );
    drop(connector);
    assert_eq!(
        harness.runtime.free_slots(),
        4,
        "idle instances are dropped with their connector"
    );
}

#[tokio::test]
async fn instance_is_not_reused_after_a_trap() {
    let harness = Harness::new(|settings| settings.grace_ms = 50);
    let connector = harness.connector("sandbox").await;
    let abilities = ScriptedAbilities::answering("{}");
    assert!(!reused(&connector, harness.call(SETTINGS, &abilities)).await);
    let end = connector
        .check(harness.call_until(SETTINGS, &ScriptedAbilities::holding(), 50))
        .await;
    assert!(
        matches!(&end.result, Err(CallError::Trapped(problem)) if problem.code == "guest.deadline"),
        "{:?}",
        end.result
    );
    assert!(end.reused_instance);
    assert!(!reused(&connector, harness.call(SETTINGS, &abilities)).await);
}

#[tokio::test]
async fn instance_is_not_reused_unless_the_connector_is_reusable() {
    let harness = Harness::new(|_| ());
    let connector = harness.connector("hostile").await;
    for _ in 0..2 {
        let end = connector
            .deliver(
                harness.call(&behave("ok"), &ScriptedAbilities::answering("{}")),
                items([0]),
            )
            .await;
        assert!(end.result.is_ok() && !end.reused_instance);
    }
}

#[tokio::test]
async fn idle_instance_gives_its_slot_up_to_a_call() {
    let harness = Harness::new(|settings| settings.slots = 1);
    let (sandbox, hostile) = (
        harness.connector("sandbox").await,
        harness.connector("hostile").await,
    );
    let abilities = ScriptedAbilities::answering("{}");
    assert!(!reused(&sandbox, harness.call(SETTINGS, &abilities)).await);
    assert_eq!(
        harness.runtime.free_slots(),
        0,
        "an idle instance holds the only slot"
    );
    assert!(
        hostile
            .deliver(harness.call(&behave("ok"), &abilities), items([0]))
            .await
            .result
            .is_ok()
    );
    assert!(
        !reused(&sandbox, harness.call(SETTINGS, &abilities)).await,
        "it was evicted"
    );
}

#[tokio::test]
async fn idle_instance_is_dropped_after_a_while() {
    let harness = Harness::new(|settings| settings.idle_instance_ms = 20);
    let sandbox = harness.connector("sandbox").await;
    let abilities = ScriptedAbilities::answering("{}");
    assert!(!reused(&sandbox, harness.call(SETTINGS, &abilities)).await);
    while harness.runtime.free_slots() < 4 {
        tokio::task::yield_now().await;
    }
    assert!(
        !reused(&sandbox, harness.call(SETTINGS, &abilities)).await,
        "its instance was dropped"
    );
}

#[tokio::test]
async fn call_without_a_slot_by_its_deadline_does_not_run() {
    let harness = Harness::new(|settings| settings.slots = 1);
    let connector = harness.connector("hostile").await;
    let holding = ScriptedAbilities::holding();
    let first = {
        let (connector, call) = (
            Arc::clone(&connector),
            harness.call(&behave("reach"), &holding),
        );
        tokio::spawn(async move { connector.deliver(call, items([0])).await })
    };
    holding.arrived.notified().await;
    let end = connector
        .deliver(harness.call_until(&behave("ok"), &holding, 20), items([0]))
        .await;
    assert!(
        matches!(&end.result, Err(CallError::NotRun(problem)) if problem.code == "runtime.no_slot"),
        "{:?}",
        end.result
    );
    holding.answers.add_permits(1);
    assert!(first.await.unwrap().result.is_ok());
    assert_eq!(harness.runtime.free_slots(), 1);
}
