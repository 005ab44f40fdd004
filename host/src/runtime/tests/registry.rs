//! Which version a call takes, before, while and after versions change.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;

use super::super::{ConnectorStore, InstallError, Registry};
use super::{Bench, Scripted, behave, guest, items};
use crate::store::StoreError;
use crate::store::connectors::ConnectorRow;

/// Rows in memory, with the promises of the store.
#[derive(Default)]
struct Rows {
    rows: Mutex<Vec<ConnectorRow>>,
    full: Mutex<bool>,
}

#[async_trait]
impl ConnectorStore for Rows {
    async fn put_connector(&self, row: ConnectorRow, activate: bool) -> Result<(), StoreError> {
        if *self.full.lock().unwrap() {
            return Err(StoreError::Full);
        }
        let mut rows = self.rows.lock().unwrap();
        rows.retain(|other| (&other.name, &other.version) != (&row.name, &row.version));
        if activate {
            rows.iter_mut()
                .filter(|other| other.name == row.name)
                .for_each(|other| other.active = false);
        }
        rows.push(ConnectorRow {
            active: activate,
            ..row
        });
        Ok(())
    }

    async fn connectors(&self) -> Result<Vec<ConnectorRow>, StoreError> {
        Ok(self.rows.lock().unwrap().clone())
    }

    async fn activate_connector(&self, name: &str, version: &str) -> Result<bool, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let found = rows
            .iter()
            .any(|row| row.name == name && row.version == version);
        if found {
            rows.iter_mut()
                .filter(|row| row.name == name)
                .for_each(|row| row.active = row.version == version);
        }
        Ok(found)
    }
}

/// The hostile guest as another version of itself.
fn version(wanted: &str) -> Bytes {
    let mut wasm = guest("hostile").to_vec();
    for place in 1..wasm.len() - 5 {
        // Not the version of the contract, which follows an `@`.
        if wasm[place..].starts_with(b"0.1.0") && wasm[place - 1] != b'@' {
            wasm[place..place + 5].copy_from_slice(wanted.as_bytes());
        }
    }
    wasm.into()
}

async fn open(bench: &Bench, rows: &Arc<Rows>) -> Registry {
    Registry::open(
        Arc::clone(&bench.runtime),
        Arc::<Rows>::clone(rows),
        bench.dir.path(),
    )
    .await
    .unwrap()
}

async fn taken(registry: &Registry, pin: Option<&str>) -> Option<String> {
    registry
        .connector("hostile", pin)
        .await
        .map(|connector| connector.description().version.clone())
}

#[tokio::test]
async fn pins_choose_the_newest_that_they_admit() {
    let bench = Bench::new(|_| ());
    let registry = open(&bench, &Arc::default()).await;
    for (number, activate) in [
        ("1.2.0", true),
        ("1.2.9", false),
        ("1.3.0", false),
        ("2.0.0", false),
    ] {
        registry.install(version(number), activate).await.unwrap();
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
async fn running_calls_finish_on_the_version_they_began_with() {
    let bench = Bench::new(|_| ());
    let registry = open(&bench, &Arc::default()).await;
    registry.install(version("1.0.0"), true).await.unwrap();
    let abilities = Scripted::holding();
    let (old, call) = (
        registry.connector("hostile", None).await.unwrap(),
        bench.call(&behave("reach"), &abilities),
    );
    let running = tokio::spawn(async move { old.deliver(call, items([0])).await });
    abilities.arrived.notified().await;

    let installed = registry.install(version("1.1.0"), true).await.unwrap();
    assert_eq!(
        (installed.active, installed.previous.as_deref()),
        (true, Some("1.0.0"))
    );
    assert_eq!(installed.differences, Vec::<String>::new());
    let new = registry.connector("hostile", None).await.unwrap();
    assert_eq!(new.digest(), installed.digest);
    assert!(
        new.deliver(
            bench.call(&behave("ok"), &Scripted::answering("{}")),
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
async fn an_installation_that_fails_changes_nothing() {
    let bench = Bench::new(|_| ());
    let rows = Arc::<Rows>::default();
    let registry = open(&bench, &rows).await;
    registry.install(version("1.0.0"), true).await.unwrap();
    assert!(
        registry
            .install(Bytes::from_static(b"no"), true)
            .await
            .is_err()
    );
    *rows.full.lock().unwrap() = true;
    assert!(matches!(
        registry.install(version("1.1.0"), true).await,
        Err(InstallError::Store(StoreError::Full))
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
async fn a_restart_finds_what_was_installed_and_names_what_is_lost() {
    let bench = Bench::new(|_| ());
    let rows = Arc::<Rows>::default();
    let registry = open(&bench, &rows).await;
    registry.install(version("1.0.0"), true).await.unwrap();
    let lost = registry.install(version("1.1.0"), false).await.unwrap();
    let changed = registry.install(version("1.2.0"), false).await.unwrap();
    drop(registry);
    let place = |digest: &str| bench.dir.path().join(format!("connectors/{digest}.wasm"));
    std::fs::remove_file(place(&lost.digest)).unwrap();
    std::fs::write(place(&changed.digest), version("1.0.0")).unwrap();

    let registry = open(&bench, &rows).await;
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
        "nobody asked for the others yet"
    );
    assert_eq!(taken(&registry, Some("1.1.0")).await, None);
    assert!(
        registry.activate("hostile", "1.2.0").await.is_err(),
        "what cannot be called is not activated"
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
async fn after_a_restart_a_version_is_loaded_when_it_is_pinned_or_activated() {
    let bench = Bench::new(|_| ());
    let rows = Arc::<Rows>::default();
    let registry = open(&bench, &rows).await;
    for number in ["1.0.0", "1.1.0", "1.2.0"] {
        registry
            .install(version(number), number == "1.0.0")
            .await
            .unwrap();
    }
    drop(registry);
    let registry = open(&bench, &rows).await;
    assert_eq!(
        registry
            .description("hostile", Some("1.1.0"))
            .unwrap()
            .version,
        "1.1.0",
        "known without being loaded"
    );
    assert_eq!(
        taken(&registry, Some("1.1")).await.as_deref(),
        Some("1.1.0")
    );
    assert!(registry.activate("hostile", "1.2.0").await.unwrap());
    assert_eq!(taken(&registry, None).await.as_deref(), Some("1.2.0"));
}

#[tokio::test]
async fn the_active_version_stays_active_when_it_is_installed_again() {
    let bench = Bench::new(|_| ());
    let registry = open(&bench, &Arc::default()).await;
    registry.install(version("1.0.0"), true).await.unwrap();
    assert!(
        registry
            .install(version("1.0.0"), false)
            .await
            .unwrap()
            .active
    );
    assert_eq!(taken(&registry, None).await.as_deref(), Some("1.0.0"));
}

#[tokio::test]
async fn a_version_never_changes() {
    let bench = Bench::new(|_| ());
    let registry = open(&bench, &Arc::default()).await;
    let digest = registry
        .install(version("1.0.0"), true)
        .await
        .unwrap()
        .digest;
    // A custom section more: another build of the same connector.
    let other: Bytes = [
        version("1.0.0").as_ref(),
        &[0, 5, 4, b'n', b'o', b't', b'e'],
    ]
    .concat()
    .into();
    for activate in [true, false] {
        let refused = registry.install(other.clone(), activate).await.unwrap_err();
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
