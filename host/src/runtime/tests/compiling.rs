//! The compiler with components that are made to be expensive.

use super::Harness;
use super::components::{component_around, module_of, slow_component};
use crate::runtime::InstallError;

#[tokio::test]
async fn compiler_refuses_a_million_functions() {
    let harness = Harness::new(|_| ());
    let million = component_around(&[&module_of(1_000_000, &[0, 0x0b])]);
    let error = harness.runtime.prepare(million).await.unwrap_err();
    assert!(matches!(error, InstallError::Oversize(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("50000 functions") && text.contains("runtime.compile.max_functions"),
        "{text}"
    );
}

#[tokio::test]
async fn compiler_stops_at_its_deadline() {
    let harness = Harness::new(|settings| settings.compile.deadline_ms = 300);
    let error = harness.runtime.prepare(slow_component()).await.unwrap_err();
    assert!(
        matches!(error, InstallError::CompileTimeout { deadline_ms: 300 }),
        "{error}"
    );
}

#[tokio::test]
async fn compiler_stops_at_its_bound_of_memory() {
    let harness = Harness::new(|settings| settings.compile.memory_bytes = 256 << 20);
    let error = harness.runtime.prepare(slow_component()).await.unwrap_err();
    assert!(
        matches!(error, InstallError::CompileMemory { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn compiler_leaves_a_slot_to_small_components() {
    let harness = Harness::new(|settings| {
        settings.compile.small_component_bytes = 2 * 1024 * 1024;
        settings.compile.queue_ms = 600_000;
        settings.compile.deadline_ms = 600_000;
    });
    let large = || {
        let runtime = harness.runtime.clone();
        tokio::spawn(async move { runtime.prepare(slow_component()).await })
    };
    let large = [large(), large(), large()];
    harness.connector("hostile").await;
    assert!(large.iter().all(|compiling| !compiling.is_finished()));
    for compiling in large {
        compiling.abort();
    }
}

#[tokio::test]
async fn compiler_that_is_busy_says_so() {
    let harness = Harness::new(|settings| {
        settings.compile.slots = 1;
        settings.compile.queue_ms = 1;
        settings.compile.deadline_ms = 600_000;
    });
    // The one with the slot needs seconds, and the other waits a millisecond.
    let error = tokio::select! {
        first = harness.runtime.prepare(slow_component()) => first.unwrap_err(),
        second = harness.runtime.prepare(slow_component()) => second.unwrap_err(),
    };
    assert!(
        matches!(error, InstallError::CompilerBusy { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("runtime.compile.slots"),
        "{error}"
    );
}
