//! Documents, secrets, sessions, keys, connectors.

use egression_core::domain::ids::{ConnectionId, SourceId, SubscriptionId};
use egression_core::time::Wall;

use super::fixtures::{execution, items, job};
use super::{SHOP, World};
use crate::store::registry::api_keys::KeyRow;
use crate::store::registry::connectors::ConnectorRow;
use crate::store::registry::documents::{
    DocumentError, DocumentKind, DocumentName, ManagedBy, StoredDocument,
};
use crate::store::rows::{NewExecution, NewSecret, SecretRow, StagedJob};

const SANDBOX: &str = r#"{"connector":"sandbox"}"#;

fn subscription() -> DocumentName {
    DocumentName::Subscription("acme".to_owned())
}
fn source() -> DocumentName {
    DocumentName::Source("pim".to_owned())
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

impl World {
    /// Writes a document through the API.
    async fn put(
        &self,
        name: &DocumentName,
        json: &str,
        if_match: Option<i64>,
    ) -> Result<StoredDocument, DocumentError> {
        let put = self
            .store
            .put_document(name, json, ManagedBy::Api, if_match);
        put.await
    }

    /// Deletes a document through the API.
    async fn delete(
        &self,
        name: &DocumentName,
        if_match: Option<i64>,
    ) -> Result<(), DocumentError> {
        let delete = self.store.delete_document(name, ManagedBy::Api, if_match);
        delete.await
    }

    async fn configure(&self) -> (SubscriptionId, ConnectionId) {
        let subscription = self.put(&subscription(), "{}", None).await.unwrap();
        self.put(&channel(), SANDBOX, None).await.unwrap();
        let connection = self.put(&connection(), "{}", None).await.unwrap();
        (SubscriptionId(subscription.id), ConnectionId(connection.id))
    }

    /// A person sets the state of a connection.
    async fn set_state(&self, id: ConnectionId, state: &str, reason: Option<&str>) {
        let set = self.store.set_connection_state(id, state, reason);
        set.await.unwrap();
    }

    async fn secrets(&self, owner: &str) -> Vec<SecretRow> {
        self.store.secrets(owner).await.unwrap()
    }
}

#[tokio::test]
async fn documents_have_versions_and_managers() {
    let world = World::empty().await;
    let store = &world.store;
    let missing = world.put(&connection(), "{}", None).await;
    assert!(matches!(missing, Err(DocumentError::Missing(what)) if what.contains("acme")));
    world.configure().await;
    let unchanged = world.put(&channel(), SANDBOX, Some(1)).await.unwrap();
    assert_eq!(unchanged.version, 1);
    let changed = world.put(&channel(), "{}", Some(1)).await.unwrap();
    assert_eq!(changed.version, 2);
    let stale = world.put(&channel(), "{ }", Some(1)).await;
    assert!(matches!(stale, Err(DocumentError::Stale { current: 2 })));
    let absent = world.put(&source(), "{}", Some(3)).await;
    assert!(matches!(absent, Err(DocumentError::Stale { current: 0 })));

    let taken = store
        .put_document(&channel(), "{}", ManagedBy::File, None)
        .await
        .unwrap();
    assert_eq!((taken.managed_by, taken.version), (ManagedBy::File, 2));
    let refused = world.put(&channel(), "{ }", None).await;
    assert!(matches!(refused, Err(DocumentError::ManagedByFile)));
    let refused = world.delete(&channel(), None).await;
    assert!(matches!(refused, Err(DocumentError::ManagedByFile)));

    assert!(store.pause_channel("shop", true).await.unwrap());
    assert!(!store.pause_channel("none", true).await.unwrap());
    assert!(store.document(&channel()).await.unwrap().unwrap().paused);
    let id = ConnectionId(store.document(&connection()).await.unwrap().unwrap().id);
    world.set_state(id, "parked", Some("refused")).await;
    let unknown = store.set_connection_state(id, "asleep", None).await;
    assert!(unknown.is_err());
    let all = store.documents(DocumentKind::Connection).await.unwrap();
    assert_eq!((all.len(), all[0].state.as_str()), (1, "parked"));
    assert_eq!(all[0].state_reason.as_deref(), Some("refused"));
    let sources = store.documents(DocumentKind::Source).await.unwrap();
    assert!(sources.is_empty());
}

#[tokio::test]
async fn documents_of_each_kind_can_be_changed_and_renewed() {
    let world = World::empty().await;
    world.configure().await;
    world.put(&source(), "{}", None).await.unwrap();
    let other = r#"{"name":"other"}"#;
    for name in [subscription(), channel(), connection(), source()] {
        let changed = world.put(&name, other, Some(1)).await.unwrap();
        assert_eq!(
            (changed.version, changed.json.as_str()),
            (2, other),
            "{name}"
        );
        let version = world.store.renew_document(&name).await.unwrap();
        assert_eq!(version, 3, "{name}");
    }
}

#[tokio::test]
async fn jobs_under_way_are_those_in_flight() {
    let world = World::new().await;
    let [a, _] = world.submit_each(["a", "b"]).await;
    let under_way = async |connection| world.store.jobs_under_way(connection).await.unwrap();
    assert_eq!(under_way(SHOP).await, 0);
    world.send(1, &[a]).await;
    assert_eq!(under_way(SHOP).await, 1);
    assert_eq!(under_way(ConnectionId(8)).await, 0);
}

#[tokio::test]
async fn pause_outlasts_what_the_host_finds_out() {
    let world = World::empty().await;
    let store = &world.store;
    let (_, id) = world.configure().await;
    let stands = async || {
        let row = store.document(&connection()).await.unwrap().unwrap();
        (row.state, row.state_reason)
    };
    let keep = async |found, judged| {
        let kept = store.keep_connection_state(id, found, judged).await;
        kept.unwrap()
    };
    let parked = |reason: &str| ("parked".to_owned(), Some(reason.to_owned()));
    assert!(keep(("parked", Some("401")), None).await);
    assert_eq!(stands().await, parked("401"));
    world.set_state(id, "paused", None).await;
    for found in [("parked", Some("a late 401")), ("active", None)] {
        assert!(!keep(found, None).await);
        assert_eq!(stands().await, ("paused".to_owned(), None));
    }
    // A person's decision holds at once, and the host frees only the state that it judged.
    world.set_state(id, "active", None).await;
    world.set_state(id, "parked", Some("401")).await;
    let active = ("active", None);
    let invalid = ("parked", Some("settings-invalid"));
    assert!(!keep(active, Some(invalid)).await);
    assert!(!keep(invalid, Some(active)).await);
    assert_eq!(stands().await, parked("401"));
    assert!(keep(active, Some(("parked", Some("401")))).await);
    assert_eq!(stands().await, ("active".to_owned(), None));
}

#[tokio::test]
async fn document_in_use_is_not_removed_and_ids_are_never_reused() {
    let world = World::empty().await;
    let store = &world.store;
    let (acme, shop) = world.configure().await;
    let owner = format!("connection:{shop}");
    store.put_secret(&owner, "token", secret(1)).await.unwrap();
    let item = StagedJob {
        connection: shop,
        ..job(0, "a")
    };
    let new = NewExecution {
        subscription: acme,
        ..execution()
    };
    let sealed = store.submit(new, items([item]), None).await.unwrap();
    let seq = sealed.execution;
    for name in [subscription(), channel(), connection()] {
        let used = world.delete(&name, None).await;
        assert!(matches!(used, Err(DocumentError::InUse(_))), "{name}");
    }
    world.succeed(seq.job(0)).await;
    let stale = world.delete(&connection(), Some(9)).await;
    assert!(matches!(stale, Err(DocumentError::Stale { current: 1 })));
    for name in [connection(), channel(), subscription()] {
        world.delete(&name, None).await.unwrap();
        let gone = world.delete(&name, None).await;
        assert!(matches!(gone, Err(DocumentError::Missing(_))), "{name}");
    }
    assert_eq!(world.secrets(&owner).await, []);
    let (again, _) = world.configure().await;
    assert_ne!(again, acme, "history outlives the document");
    assert!(store.execution(seq).await.unwrap().is_some());
}

#[tokio::test]
async fn source_is_in_use_while_unfinished_jobs_read_from_it() {
    let world = World::new().await;
    let stored = world.put(&source(), "{}", None).await.unwrap();
    let item = StagedJob {
        source: Some(SourceId(stored.id)),
        ..job(0, "a")
    };
    let seq = world.submit([item]).await;
    let used = world.delete(&source(), None).await;
    assert!(matches!(used, Err(DocumentError::InUse(_))));
    world.cancel(seq).await;
    world.delete(&source(), None).await.unwrap();
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
    let owner = "connection:1";
    let put = async |secret| store.put_secret(owner, "token", secret).await.unwrap();
    let remove = async |generation| {
        let dropped = store.drop_secret(owner, "token", generation).await;
        dropped.unwrap();
    };
    let first = put(NewSecret {
        expires_at: Some(Wall(9)),
        origin: Some("o".to_owned()),
        ..secret(1)
    })
    .await;
    let second = put(secret(3)).await;
    assert!(second > first);
    remove(Some(first)).await;
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
    assert_eq!(world.secrets(owner).await, [kept]);
    assert_eq!(store.count_secrets().await.unwrap(), 1);
    remove(Some(second)).await;
    assert_eq!(world.secrets(owner).await, []);
    let third = put(secret(4)).await;
    assert!(third > second, "a dropped generation is never reused");
    remove(None).await;
    assert_eq!(world.secrets(owner).await, []);
}

#[tokio::test]
async fn activation_drops_the_sessions_of_its_channels() {
    let world = World::empty().await;
    let store = &world.store;
    let (_, shop) = world.configure().await;
    let install = async |version: &str, at, activate| {
        let row = ConnectorRow {
            name: "sandbox".to_owned(),
            version: version.to_owned(),
            digest: "d".to_owned(),
            description: "{}".to_owned(),
            size_bytes: 7,
            active: false,
            installed_at: Wall(at),
        };
        store.put_connector(row, activate).await.unwrap();
    };
    install("1.0.0", 1, true).await;
    store
        .put_session(shop, "d", vec![5], Some(Wall(8)), Some("acct"))
        .await
        .unwrap();
    install("1.1.0", 2, false).await;
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
    let connectors = store.connectors().await.unwrap();
    let active: Vec<_> = connectors
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
    let (acme, _) = world.configure().await;
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
    assert!(store.revoke_key("key_1", None, Wall(9)).await.unwrap());
    assert!(!store.revoke_key("key_1", None, Wall(9)).await.unwrap());
    assert_eq!(store.key([1; 32]).await.unwrap(), None);
    assert_eq!(store.keys().await.unwrap(), []);
}
