//! The version that a call gets before, during and after a change of versions.

use std::sync::Arc;

use bytes::Bytes;

use super::{Harness, ScriptedAbilities, behave, guest, items};
use crate::runtime::registry::Installed;
use crate::runtime::{InstallError, Registry};
use crate::store::{Store, StoreError};

/// The hostile guest with another version number.
fn version(wanted: &str) -> Bytes {
    let mut wasm = guest("hostile").to_vec();
    for place in 1..wasm.len() - 5 {
        // Skip the version of the contract, which follows an `@`.
        if wasm[place..].starts_with(b"0.1.0") && wasm[place - 1] != b'@' {
            wasm[place..place + 5].copy_from_slice(wanted.as_bytes());
        }
    }
    wasm.into()
}

async fn open_store(harness: &Harness) -> Store {
    Store::open(harness.dir.path(), harness.clock.clone())
        .await
        .unwrap()
}

async fn open(harness: &Harness, store: &Store) -> Registry {
    let runtime = Arc::clone(&harness.runtime);
    Registry::open(runtime, store.clone(), harness.dir.path())
        .await
        .unwrap()
}

/// Checks and installs.
async fn install(
    registry: &Registry,
    wasm: Bytes,
    activate: bool,
) -> Result<Installed, InstallError> {
    registry
        .install(registry.check(wasm).await?, activate)
        .await
}

async fn taken(registry: &Registry, pin: Option<&str>) -> Option<String> {
    registry
        .connector("hostile", pin)
        .await
        .map(|connector| connector.description().version.clone())
}

#[tokio::test]
async fn pin_chooses_the_newest_version_that_it_admits() {
    let harness = Harness::new(|_| ());
    let registry = open(&harness, &open_store(&harness).await).await;
    for (number, activate) in [
        ("1.2.0", true),
        ("1.2.9", false),
        ("1.3.0", false),
        ("2.0.0", false),
    ] {
        install(&registry, version(number), activate).await.unwrap();
    }
    assert_eq!(
        taken(&registry, None).await.as_deref(),
        Some("1.2.0"),
        "the active one"
    );
    assert_eq!(
        taken(&registry, Some("1.2")).await.as_deref(),
        Some("1.2.9")
    );
    assert_eq!(taken(&registry, Some("1")).await.as_deref(), Some("1.3.0"));
    assert_eq!(
        taken(&registry, Some("1.2.0")).await.as_deref(),
        Some("1.2.0")
    );
    assert_eq!(
        (
            taken(&registry, Some("3")).await,
            taken(&registry, Some("newest")).await
        ),
        (None, None)
    );
    assert!(registry.activate("hostile", "2.0.0").await.unwrap());
    assert_eq!(
        registry.description("hostile", None).unwrap().version,
        "2.0.0"
    );
    assert!(
        !registry.activate("hostile", "9.9.9").await.unwrap()
            && !registry.activate("nobody", "1.0.0").await.unwrap()
    );
    let listed: Vec<(String, bool)> = registry
        .list()
        .into_iter()
        .map(|listed| (listed.version, listed.active))
        .collect();
    let expected = [
        ("2.0.0", true),
        ("1.3.0", false),
        ("1.2.9", false),
        ("1.2.0", false),
    ];
    assert_eq!(
        listed,
        expected.map(|(number, active)| (number.to_owned(), active))
    );
}

#[tokio::test]
async fn running_call_finishes_on_its_version() {
    let harness = Harness::new(|_| ());
    let registry = open(&harness, &open_store(&harness).await).await;
    install(&registry, version("1.0.0"), true).await.unwrap();
    let abilities = ScriptedAbilities::holding();
    let (old, call) = (
        registry.connector("hostile", None).await.unwrap(),
        harness.call(&behave("reach"), &abilities),
    );
    let running = tokio::spawn(async move { old.deliver(call, items([0])).await });
    abilities.arrived.notified().await;

    let installed = install(&registry, version("1.1.0"), true).await.unwrap();
    assert_eq!(installed.differences, Vec::<String>::new());
    let new = registry.connector("hostile", None).await.unwrap();
    assert_eq!(new.digest(), digest_of("1.1.0", &registry));
    assert!(
        new.deliver(
            harness.call(&behave("ok"), &ScriptedAbilities::answering("{}")),
            items([0])
        )
        .await
        .result
        .is_ok()
    );

    abilities.answers.add_permits(1);
    assert!(running.await.unwrap().result.is_ok());
}

#[tokio::test]
async fn failed_installation_changes_nothing() {
    let harness = Harness::new(|_| ());
    let store = open_store(&harness).await;
    let registry = open(&harness, &store).await;
    install(&registry, version("1.0.0"), true).await.unwrap();
    assert!(
        install(&registry, Bytes::from_static(b"no"), true)
            .await
            .is_err()
    );
    store.close().await;
    assert!(matches!(
        install(&registry, version("1.1.0"), true).await,
        Err(InstallError::Store(StoreError::Closed))
    ));
    assert_eq!(
        (
            taken(&registry, None).await.as_deref(),
            registry.list().len()
        ),
        (Some("1.0.0"), 1)
    );
}

#[tokio::test]
async fn restart_finds_versions_and_reports_lost_files() {
    let harness = Harness::new(|_| ());
    let store = open_store(&harness).await;
    let registry = open(&harness, &store).await;
    install(&registry, version("1.0.0"), true).await.unwrap();
    install(&registry, version("1.1.0"), false).await.unwrap();
    install(&registry, version("1.2.0"), false).await.unwrap();
    let (lost, changed) = (digest_of("1.1.0", &registry), digest_of("1.2.0", &registry));
    drop(registry);
    let place = |digest: &str| harness.dir.path().join(format!("connectors/{digest}.wasm"));
    std::fs::remove_file(place(&lost)).unwrap();
    std::fs::write(place(&changed), version("1.0.0")).unwrap();

    let registry = open(&harness, &store).await;
    assert_eq!(taken(&registry, None).await.as_deref(), Some("1.0.0"));
    let problems = |registry: &Registry| -> Vec<bool> {
        registry
            .list()
            .iter()
            .map(|listed| listed.problem.is_some())
            .collect()
    };
    assert_eq!(
        problems(&registry),
        [false; 3],
        "the other versions were not called yet"
    );
    assert_eq!(taken(&registry, Some("1.1.0")).await, None);
    assert!(
        registry.activate("hostile", "1.2.0").await.is_err(),
        "a version that cannot be loaded is not activated"
    );
    assert_eq!(problems(&registry), [true, true, false], "newest first");
    assert!(
        registry.list()[0]
            .problem
            .as_ref()
            .unwrap()
            .contains("has been changed")
    );
}

#[tokio::test]
async fn restart_loads_a_version_when_it_is_pinned_or_activated() {
    let harness = Harness::new(|_| ());
    let store = open_store(&harness).await;
    let registry = open(&harness, &store).await;
    for number in ["1.0.0", "1.1.0", "1.2.0"] {
        install(&registry, version(number), number == "1.0.0")
            .await
            .unwrap();
    }
    drop(registry);
    let registry = open(&harness, &store).await;
    assert_eq!(
        registry
            .description("hostile", Some("1.1.0"))
            .unwrap()
            .version,
        "1.1.0",
        "known before it is loaded"
    );
    assert_eq!(
        taken(&registry, Some("1.1")).await.as_deref(),
        Some("1.1.0")
    );
    assert!(registry.activate("hostile", "1.2.0").await.unwrap());
    assert_eq!(taken(&registry, None).await.as_deref(), Some("1.2.0"));
}

#[tokio::test]
async fn reinstalled_active_version_stays_active() {
    let harness = Harness::new(|_| ());
    let registry = open(&harness, &open_store(&harness).await).await;
    install(&registry, version("1.0.0"), true).await.unwrap();
    install(&registry, version("1.0.0"), false).await.unwrap();
    assert!(registry.row("hostile", "1.0.0").unwrap().active);
    assert_eq!(taken(&registry, None).await.as_deref(), Some("1.0.0"));
}

#[tokio::test]
async fn version_never_changes_its_bytes() {
    let harness = Harness::new(|_| ());
    let registry = open(&harness, &open_store(&harness).await).await;
    install(&registry, version("1.0.0"), true).await.unwrap();
    let digest = digest_of("1.0.0", &registry);
    // With a custom section: another build of the same connector.
    let other: Bytes = [
        version("1.0.0").as_ref(),
        &[0, 5, 4, b'n', b'o', b't', b'e'],
    ]
    .concat()
    .into();
    for activate in [true, false] {
        let refused = install(&registry, other.clone(), activate)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), "connector.version_taken");
        assert!(refused.to_string().contains(&digest), "{refused}");
    }
    let listed: Vec<_> = registry
        .list()
        .into_iter()
        .map(|version| (version.version, version.digest))
        .collect();
    assert_eq!(listed, [("1.0.0".to_owned(), digest)]);
}

fn digest_of(version: &str, registry: &Registry) -> String {
    registry.row("hostile", version).unwrap().digest
}
