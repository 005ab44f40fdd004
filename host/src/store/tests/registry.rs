//! Documents, secrets, sessions, keys, connectors.

use egression_core::domain::ids::{ConnectionId, SubscriptionId};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;

use super::{SHOP, World, execution, job, through};
use crate::store::Store;
use crate::store::registry::api_keys::KeyRow;
use crate::store::registry::connectors::ConnectorRow;
use crate::store::registry::documents::{DocumentError, DocumentKind, DocumentName, ManagedBy};
use crate::store::rows::{NewExecution, NewSecret, SecretRow, StagedItem, StagedJob};

fn subscription() -> DocumentName {
    DocumentName::Subscription("acme".to_owned())
}
fn channel() -> DocumentName {
    DocumentName::Channel("shop".to_owned())
}
fn connection() -> DocumentName {
    DocumentName::Connection {
        channel: "shop".to_owned(),
        subscription: "acme".to_owned(),
    }
}

async fn configure(store: &Store) -> (SubscriptionId, ConnectionId) {
    let subscription = store
        .put_document(&subscription(), "{}", ManagedBy::Api, None)
        .await
        .unwrap();
    store
        .put_document(
            &channel(),
            r#"{"connector":"sandbox"}"#,
            ManagedBy::Api,
            None,
        )
        .await
        .unwrap();
    let connection = store
        .put_document(&connection(), "{}", ManagedBy::Api, None)
        .await
        .unwrap();
    (SubscriptionId(subscription.id), ConnectionId(connection.id))
}

#[tokio::test]
async fn documents_have_versions_and_managers() {
    let world = World::empty().await;
    let store = &world.store;
    let missing = store
        .put_document(&connection(), "{}", ManagedBy::Api, None)
        .await;
    assert!(matches!(missing, Err(DocumentError::Missing(what)) if what.contains("acme")));
    configure(store).await;
    assert_eq!(
        store
            .put_document(
                &channel(),
                r#"{"connector":"sandbox"}"#,
                ManagedBy::Api,
                Some(1)
            )
            .await
            .unwrap()
            .version,
        1,
        "unchanged"
    );
    assert_eq!(
        store
            .put_document(&channel(), "{}", ManagedBy::Api, Some(1))
            .await
            .unwrap()
            .version,
        2
    );
    let stale = store
        .put_document(&channel(), "{ }", ManagedBy::Api, Some(1))
        .await;
    assert!(matches!(stale, Err(DocumentError::Stale { current: 2 })));
    let absent = store
        .put_document(
            &DocumentName::Source("pim".to_owned()),
            "{}",
            ManagedBy::Api,
            Some(3),
        )
        .await;
    assert!(matches!(absent, Err(DocumentError::Stale { current: 0 })));

    let taken = store
        .put_document(&channel(), "{}", ManagedBy::File, None)
        .await
        .unwrap();
    assert_eq!((taken.managed_by, taken.version), (ManagedBy::File, 2));
    assert!(matches!(
        store
            .put_document(&channel(), "{ }", ManagedBy::Api, None)
            .await,
        Err(DocumentError::ManagedByFile)
    ));
    assert!(matches!(
        store
            .delete_document(&channel(), ManagedBy::Api, None)
            .await,
        Err(DocumentError::ManagedByFile)
    ));

    assert!(store.pause_channel("shop", true).await.unwrap());
    assert!(!store.pause_channel("none", true).await.unwrap());
    assert!(store.document(&channel()).await.unwrap().unwrap().paused);
    let id = ConnectionId(store.document(&connection()).await.unwrap().unwrap().id);
    store
        .set_connection_state(id, "parked", Some("refused"))
        .await
        .unwrap();
    assert!(
        store
            .set_connection_state(id, "asleep", None)
            .await
            .is_err()
    );
    let all = store.documents(DocumentKind::Connection).await.unwrap();
    assert_eq!(
        (
            all.len(),
            all[0].state.as_str(),
            all[0].state_reason.as_deref()
        ),
        (1, "parked", Some("refused"))
    );
    assert!(
        store
            .documents(DocumentKind::Source)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn documents_of_each_kind_can_be_changed_and_renewed() {
    let world = World::empty().await;
    let store = &world.store;
    configure(store).await;
    let source = DocumentName::Source("pim".to_owned());
    store
        .put_document(&source, "{}", ManagedBy::Api, None)
        .await
        .unwrap();
    for name in [subscription(), channel(), connection(), source] {
        let changed = store
            .put_document(&name, r#"{"name":"other"}"#, ManagedBy::Api, Some(1))
            .await
            .unwrap();
        assert_eq!(
            (changed.version, changed.json.as_str()),
            (2, r#"{"name":"other"}"#),
            "{name}"
        );
        assert_eq!(store.renew_document(&name).await.unwrap(), 3, "{name}");
    }
}

#[tokio::test]
async fn jobs_under_way_are_those_in_flight() {
    let world = World::new().await;
    let seq = world.submit(vec![job(0, "a"), job(1, "b")]).await.execution;
    assert_eq!(world.store.jobs_under_way(SHOP).await.unwrap(), 0);
    world.send(1, &[seq.job(0)]).await;
    assert_eq!(world.store.jobs_under_way(SHOP).await.unwrap(), 1);
    assert_eq!(
        world.store.jobs_under_way(ConnectionId(8)).await.unwrap(),
        0
    );
}

#[tokio::test]
async fn pause_outlasts_what_the_host_finds_out() {
    let world = World::empty().await;
    let store = &world.store;
    let (_, id) = configure(store).await;
    let stands = async || {
        let row = store.document(&connection()).await.unwrap().unwrap();
        (row.state, row.state_reason)
    };
    let parked = |reason: &str| ("parked".to_owned(), Some(reason.to_owned()));
    assert!(
        store
            .keep_connection_state(id, ("parked", Some("401")), None)
            .await
            .unwrap()
    );
    assert_eq!(stands().await, parked("401"));
    store
        .set_connection_state(id, "paused", None)
        .await
        .unwrap();
    for found in [("parked", Some("a late 401")), ("active", None)] {
        assert!(!store.keep_connection_state(id, found, None).await.unwrap());
        assert_eq!(stands().await, ("paused".to_owned(), None));
    }
    // A person's decision holds at once, and the host frees only the state that it judged.
    store
        .set_connection_state(id, "active", None)
        .await
        .unwrap();
    store
        .set_connection_state(id, "parked", Some("401"))
        .await
        .unwrap();
    assert!(
        !store
            .keep_connection_state(
                id,
                ("active", None),
                Some(("parked", Some("settings-invalid")))
            )
            .await
            .unwrap()
    );
    assert!(
        !store
            .keep_connection_state(
                id,
                ("parked", Some("settings-invalid")),
                Some(("active", None))
            )
            .await
            .unwrap()
    );
    assert_eq!(stands().await, parked("401"));
    assert!(
        store
            .keep_connection_state(id, ("active", None), Some(("parked", Some("401"))))
            .await
            .unwrap()
    );
    assert_eq!(stands().await, ("active".to_owned(), None));
}

#[tokio::test]
async fn document_in_use_is_not_removed_and_ids_are_never_reused() {
    let world = World::empty().await;
    let store = &world.store;
    let (acme, shop) = configure(store).await;
    store
        .put_secret(&format!("connection:{shop}"), "token", secret(1))
        .await
        .unwrap();
    let item = StagedJob {
        connection: shop,
        ..job(0, "a")
    };
    let seq = store
        .submit(
            NewExecution {
                subscription: acme,
                ..execution()
            },
            vec![StagedItem::Job(item)],
            None,
        )
        .await
        .unwrap()
        .execution;
    for name in [subscription(), channel(), connection()] {
        assert!(
            matches!(
                store.delete_document(&name, ManagedBy::Api, None).await,
                Err(DocumentError::InUse(_))
            ),
            "{name}"
        );
    }
    world.deliver(seq.job(0), JobState::Succeeded).await;
    assert!(matches!(
        store
            .delete_document(&connection(), ManagedBy::Api, Some(9))
            .await,
        Err(DocumentError::Stale { current: 1 })
    ));
    for name in [connection(), channel(), subscription()] {
        store
            .delete_document(&name, ManagedBy::Api, None)
            .await
            .unwrap();
        assert!(matches!(
            store.delete_document(&name, ManagedBy::Api, None).await,
            Err(DocumentError::Missing(_))
        ));
    }
    assert!(
        store
            .secrets(&format!("connection:{shop}"))
            .await
            .unwrap()
            .is_empty()
    );
    let (again, _) = configure(store).await;
    assert_ne!(again, acme, "history outlives the document");
    assert!(store.execution(seq).await.unwrap().is_some());
}

#[tokio::test]
async fn source_is_in_use_while_unfinished_jobs_read_from_it() {
    let world = World::new().await;
    let name = DocumentName::Source("pim".to_owned());
    let source = world
        .store
        .put_document(&name, "{}", ManagedBy::Api, None)
        .await
        .unwrap();
    let item = StagedJob {
        source: Some(egression_core::domain::ids::SourceId(source.id)),
        ..job(0, "a")
    };
    let seq = world.submit(vec![item]).await.execution;
    assert!(matches!(
        world
            .store
            .delete_document(&name, ManagedBy::Api, None)
            .await,
        Err(DocumentError::InUse(_))
    ));
    through(world.store.cancel_execution(seq, world.now()).await);
    world
        .store
        .delete_document(&name, ManagedBy::Api, None)
        .await
        .unwrap();
}

fn secret(byte: u8) -> NewSecret {
    NewSecret {
        ciphertext: vec![byte],
        bound_hosts: vec!["shop.example".to_owned()],
        ..NewSecret::default()
    }
}

#[tokio::test]
async fn secrets_have_generations() {
    let world = World::empty().await;
    let store = &world.store;
    let first = store
        .put_secret(
            "connection:1",
            "token",
            NewSecret {
                expires_at: Some(Wall(9)),
                origin: Some("o".to_owned()),
                ..secret(1)
            },
        )
        .await
        .unwrap();
    let second = store
        .put_secret("connection:1", "token", secret(3))
        .await
        .unwrap();
    assert!(second > first);
    store
        .drop_secret("connection:1", "token", Some(first))
        .await
        .unwrap();
    let NewSecret {
        ciphertext,
        bound_hosts,
        ..
    } = secret(3);
    let kept = SecretRow {
        name: "token".to_owned(),
        generation: second,
        ciphertext,
        bound_hosts,
        expires_at: None,
        origin: None,
    };
    assert_eq!(store.secrets("connection:1").await.unwrap(), [kept]);
    assert_eq!(store.count_secrets().await.unwrap(), 1);
    store
        .drop_secret("connection:1", "token", Some(second))
        .await
        .unwrap();
    assert!(store.secrets("connection:1").await.unwrap().is_empty());
    let third = store
        .put_secret("connection:1", "token", secret(4))
        .await
        .unwrap();
    assert!(third > second, "a dropped generation is never reused");
    store
        .drop_secret("connection:1", "token", None)
        .await
        .unwrap();
    assert!(store.secrets("connection:1").await.unwrap().is_empty());
}

#[tokio::test]
async fn activation_drops_the_sessions_of_its_channels() {
    let world = World::empty().await;
    let store = &world.store;
    let (_, shop) = configure(store).await;
    let version = |version: &str, at: i64| ConnectorRow {
        name: "sandbox".to_owned(),
        version: version.to_owned(),
        digest: "d".to_owned(),
        description: "{}".to_owned(),
        size_bytes: 7,
        active: false,
        installed_at: Wall(at),
    };
    store
        .put_connector(version("1.0.0", 1), true)
        .await
        .unwrap();
    store
        .put_session(shop, "d", vec![5], Some(Wall(8)), Some("acct"))
        .await
        .unwrap();
    store
        .put_connector(version("1.1.0", 2), false)
        .await
        .unwrap();
    assert_eq!(
        store.session(shop).await.unwrap(),
        Some((
            "d".to_owned(),
            vec![5],
            Some(Wall(8)),
            Some("acct".to_owned())
        ))
    );
    assert!(store.activate_connector("sandbox", "1.1.0").await.unwrap());
    assert_eq!(store.session(shop).await.unwrap(), None);
    assert!(!store.activate_connector("sandbox", "2.0.0").await.unwrap());
    let active: Vec<_> = store
        .connectors()
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.version, row.active))
        .collect();
    assert_eq!(
        active,
        [("1.0.0".to_owned(), false), ("1.1.0".to_owned(), true)]
    );
    store
        .put_session(shop, "d", vec![6], None, None)
        .await
        .unwrap();
    store.drop_session(shop).await.unwrap();
    assert_eq!(store.session(shop).await.unwrap(), None);
}

#[tokio::test]
async fn api_keys_are_found_by_hash_until_revoked() {
    let world = World::empty().await;
    let store = &world.store;
    let (acme, _) = configure(store).await;
    let key = KeyRow {
        id: "key_1".to_owned(),
        role: "submit".to_owned(),
        subscription: Some(acme),
        label: Some("ci".to_owned()),
        created_at: Wall(3),
    };
    store.put_key(key.clone(), [1; 32]).await.unwrap();
    assert!(
        store.put_key(key.clone(), [1; 32]).await.is_err(),
        "one hash, one key"
    );
    assert_eq!(store.key([1; 32]).await.unwrap().as_ref(), Some(&key));
    assert_eq!(store.key([2; 32]).await.unwrap(), None);
    assert_eq!(store.keys().await.unwrap(), [key]);
    assert!(store.revoke_key("key_1", Wall(9)).await.unwrap());
    assert!(!store.revoke_key("key_1", Wall(9)).await.unwrap());
    assert_eq!(
        (
            store.key([1; 32]).await.unwrap(),
            store.keys().await.unwrap()
        ),
        (None, vec![])
    );
}
