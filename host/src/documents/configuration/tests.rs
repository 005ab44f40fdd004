//! Changes of documents, on a real store and vault.
#![allow(clippy::unwrap_used)]

use egression_core::domain::ids::{ConnectionId, Owner, SourceId};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::documents::model::Documents;
use crate::store::documents::DocumentError;
use crate::vault::MasterKey;

const fn connection_owner(id: i64) -> Owner {
    Owner::Connection(ConnectionId(id))
}

/// A configuration over a real store and vault in a temporary directory.
struct World {
    configuration: Configuration,
    store: Store,
    vault: Vault,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let store = Store::open(directory.path(), clock.clone()).await.unwrap();
        let vault = Vault::new(&MasterKey::from_bytes([7; 32]), store.clone(), clock);
        let variables: Variables =
            Arc::new(|name| (name == "TOKEN").then(|| "from-env".to_owned()));
        let configuration = Configuration::open(store.clone(), vault.clone(), variables)
            .await
            .unwrap();
        Self {
            configuration,
            store,
            vault,
            _directory: directory,
        }
    }

    async fn with_channel() -> Self {
        let world = Self::new().await;
        let subscription =
            Document::Subscription(serde_json::from_value(json!({"name": "acme"})).unwrap());
        let channel = Document::Channel(
            serde_json::from_value(json!({"name": "shop", "connector": "sandbox"})).unwrap(),
        );
        for document in [subscription, channel] {
            world
                .configuration
                .put(document, ManagedBy::Api, None)
                .await
                .unwrap();
        }
        world
    }

    async fn connect(&self, base_url: &str, token: Value) -> Result<Put, ConfigurationError> {
        let document = json!({
            "subscription": "acme", "channel": "shop", "settings": {"base_url": base_url},
            "auth": {"scheme": "bearer", "token": token},
        });
        self.configuration
            .put(
                Document::Connection(serde_json::from_value(document).unwrap()),
                ManagedBy::Api,
                None,
            )
            .await
    }

    fn state(&self) -> ConnectionState {
        self.configuration
            .catalogue()
            .connection("acme", "shop")
            .unwrap()
            .state
            .clone()
    }

    /// The token of an owner in the vault, with its hosts.
    async fn token(&self, owner: Owner) -> Option<(String, Vec<String>)> {
        let secret = self.vault.get(owner, "token").await.unwrap()?;
        Some((secret.value.expose_secret().to_owned(), secret.bound_hosts))
    }
}

fn parked() -> ConnectionState {
    ConnectionState::Parked {
        reason: NEEDS_REENTRY.to_owned(),
    }
}

#[tokio::test]
async fn secret_value_goes_to_the_vault_and_leaves_a_marker() {
    let world = World::with_channel().await;
    let mut changed = world.configuration.changed();
    changed.mark_unchanged();
    let put = world
        .connect("https://shop.example/api", json!({"value": "hush"}))
        .await
        .unwrap();
    assert!(
        put.created
            && !put.stored.json.contains("hush")
            && put.stored.json.contains(r#"{"stored":true}"#),
        "{}",
        put.stored.json
    );
    assert_eq!(
        world.token(connection_owner(1)).await,
        Some(("hush".to_owned(), vec!["https://shop.example".to_owned()]))
    );
    assert!(changed.has_changed().unwrap());
    let catalogue = world.configuration.catalogue();
    let connection = catalogue.connection("acme", "shop").unwrap();
    assert_eq!(
        (
            connection.id,
            connection.channel.connector.as_str(),
            &connection.state
        ),
        (ConnectionId(1), "sandbox", &ConnectionState::Active)
    );
    assert_eq!(catalogue.connections_of_channel("shop").count(), 1);
    assert_eq!(catalogue.connections_of_channel("other").count(), 0);
}

#[tokio::test]
async fn credential_must_be_entered_again_for_another_host() {
    let world = World::with_channel().await;
    world
        .connect("https://shop.example/a", json!({"value": "hush"}))
        .await
        .unwrap();
    world
        .connect("https://shop.example/b", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(world.state(), ConnectionState::Active);
    world
        .connect("https://evil.example/b", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(world.state(), parked());
    // A second change that keeps the new host must not free it.
    world
        .connect("https://evil.example/c", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(world.state(), parked());
    let bound = world.token(connection_owner(1)).await.unwrap().1;
    assert_eq!(bound, ["https://shop.example"]);
    world
        .connect("https://evil.example/c", json!({"value": "new"}))
        .await
        .unwrap();
    assert_eq!(world.state(), ConnectionState::Active);
    assert_eq!(
        world.token(connection_owner(1)).await,
        Some(("new".to_owned(), vec!["https://evil.example".to_owned()]))
    );
}

#[tokio::test]
async fn connection_is_active_again_at_its_old_host() {
    let world = World::with_channel().await;
    world
        .connect("https://shop.example", json!({"value": "hush"}))
        .await
        .unwrap();
    world
        .connect("https://other.example", json!({"stored": true}))
        .await
        .unwrap();
    world
        .connect("https://shop.example", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(world.state(), ConnectionState::Active);
}

#[tokio::test]
async fn pause_by_a_person_survives_a_change() {
    let world = World::with_channel().await;
    let put = world
        .connect("https://shop.example", json!({"value": "hush"}))
        .await
        .unwrap();
    let pause = ConnectionState::Paused {
        reason: Some("sale".to_owned()),
    };
    world
        .configuration
        .set_connection_state(ConnectionId(put.stored.id), &pause)
        .await
        .unwrap();
    world
        .connect("https://other.example", json!({"value": "new"}))
        .await
        .unwrap();
    assert_eq!(world.state(), pause);
}

#[tokio::test]
async fn secret_that_cannot_be_read_is_refused_before_any_write() {
    let world = World::with_channel().await;
    for (token, code) in [
        (json!({"stored": true}), "secret.not_stored"),
        (json!({"env": "NOT_SET"}), "secret.unreadable"),
    ] {
        let Err(ConfigurationError::Invalid { issues }) =
            world.connect("https://shop.example", token).await
        else {
            panic!("taken")
        };
        assert_eq!(
            (issues[0].pointer.as_str(), issues[0].code),
            ("/auth/token", code)
        );
    }
    assert!(
        world
            .configuration
            .catalogue()
            .connection("acme", "shop")
            .is_none()
    );
    world
        .connect("https://shop.example", json!({"env": "TOKEN"}))
        .await
        .unwrap();
    assert_eq!(
        world.token(connection_owner(1)).await.unwrap().0,
        "from-env"
    );
}

#[tokio::test]
async fn source_at_another_host_is_refused_without_its_credential() {
    let world = World::new().await;
    let put = async |host: &str, token: Value| {
        let document = json!({"name": "pim", "kind": "http",
            "object_url": format!("https://{host}/{{type}}/{{id}}"), "auth": {"scheme": "bearer",
            "token": token}});
        world
            .configuration
            .put(
                Document::Source(serde_json::from_value(document).unwrap()),
                ManagedBy::Api,
                None,
            )
            .await
    };
    put("pim.example", json!({"value": "hush"})).await.unwrap();
    put("pim.example", json!({"stored": true})).await.unwrap();
    let Err(ConfigurationError::Invalid { issues }) =
        put("evil.example", json!({"stored": true})).await
    else {
        panic!("taken")
    };
    assert_eq!(
        (issues[0].pointer.as_str(), issues[0].code),
        ("/auth/token", "secret.other_hosts")
    );
    put("other.example", json!({"value": "new"})).await.unwrap();
    assert_eq!(
        world.token(Owner::Source(SourceId(1))).await,
        Some(("new".to_owned(), vec!["https://other.example".to_owned()]))
    );
}

#[tokio::test]
async fn stale_version_changes_nothing() {
    let world = World::with_channel().await;
    let channel = |connector: &str| {
        Document::Channel(
            serde_json::from_value(json!({"name": "shop", "connector": connector})).unwrap(),
        )
    };
    let error = world
        .configuration
        .put(channel("other"), ManagedBy::Api, Some(7))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::Document(DocumentError::Stale { current: 1 })
    ));
    world
        .configuration
        .put(channel("other"), ManagedBy::Api, Some(1))
        .await
        .unwrap();
    assert_eq!(
        world
            .configuration
            .catalogue()
            .channel("shop")
            .unwrap()
            .version,
        2
    );
}

#[tokio::test]
async fn secrets_are_deleted_with_their_document() {
    let world = World::with_channel().await;
    world
        .connect("https://shop.example", json!({"value": "hush"}))
        .await
        .unwrap();
    let name = connection_name("shop");
    world
        .configuration
        .delete(&name, ManagedBy::Api, None)
        .await
        .unwrap();
    assert_eq!(world.token(connection_owner(1)).await, None);
    assert!(
        world
            .configuration
            .catalogue()
            .connection("acme", "shop")
            .is_none()
    );
}

fn connection_name(channel: &str) -> DocumentName {
    DocumentName::Connection {
        channel: channel.to_owned(),
        subscription: "acme".to_owned(),
    }
}

fn file(channels: &[&str]) -> Documents {
    let channel = |name: &&str| json!({"name": name, "connector": "sandbox"});
    let connection = |name: &&str| {
        json!({"subscription": "acme", "channel": name,
        "settings": {"base_url": "https://shop.example"}, "auth": {"scheme": "bearer",
        "token": {"env": "TOKEN"}}})
    };
    let documents = json!({
        "subscriptions": [{"name": "acme"}],
        "channels": channels.iter().map(channel).collect::<Vec<_>>(),
        "connections": channels.iter().map(connection).collect::<Vec<_>>(),
    });
    serde_json::from_value(documents).unwrap()
}

#[tokio::test]
async fn document_that_left_the_file_is_removed_unless_needed() {
    let world = World::new().await;
    assert_eq!(
        world
            .configuration
            .apply_file(file(&["a", "b", "c"]))
            .await
            .unwrap()
            .put,
        7
    );
    for owner in [1, 2, 3].map(connection_owner) {
        assert!(world.token(owner).await.is_some(), "{owner}");
    }
    // A connection of the API needs the channel `b`.
    let other = Document::Subscription(serde_json::from_value(json!({"name": "other"})).unwrap());
    let connection = json!({"subscription": "other", "channel": "b"});
    let connection = Document::Connection(serde_json::from_value(connection).unwrap());
    for document in [other, connection] {
        world
            .configuration
            .put(document, ManagedBy::Api, None)
            .await
            .unwrap();
    }
    let applied = world.configuration.apply_file(file(&["a"])).await.unwrap();
    assert_eq!(
        applied.removed,
        [
            connection_name("b"),
            connection_name("c"),
            DocumentName::Channel("c".to_owned())
        ]
    );
    assert_eq!(
        applied
            .kept
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>(),
        [DocumentName::Channel("b".to_owned())]
    );
    let catalogue = world.configuration.catalogue();
    assert_eq!(
        ["a", "b", "c"].map(|name| catalogue.channel(name).is_some()),
        [true, true, false]
    );
    assert!(world.token(connection_owner(1)).await.is_some());
    assert_eq!(world.token(connection_owner(2)).await, None);
    assert_eq!(world.token(connection_owner(3)).await, None);
}

#[tokio::test]
async fn file_with_unreadable_secrets_changes_nothing() {
    let world = World::new().await;
    let mut documents = file(&["a", "b"]);
    documents.connections[1].auth = Some(
        serde_json::from_value(json!({"scheme": "bearer", "token": {"env": "NOT_SET"}})).unwrap(),
    );
    let Err(ConfigurationError::Invalid { issues }) =
        world.configuration.apply_file(documents).await
    else {
        panic!("taken")
    };
    assert_eq!(
        (issues[0].pointer.as_str(), issues[0].code),
        ("/connections/1/auth/token", "secret.unreadable")
    );
    assert!(
        world
            .configuration
            .catalogue()
            .subscription("acme")
            .is_none()
    );
}

#[tokio::test]
async fn file_managed_document_is_not_changed_by_the_api() {
    let world = World::new().await;
    world.configuration.apply_file(file(&["a"])).await.unwrap();
    let channel = Document::Channel(
        serde_json::from_value(json!({"name": "a", "connector": "other"})).unwrap(),
    );
    let error = world
        .configuration
        .put(channel, ManagedBy::Api, None)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::Document(DocumentError::ManagedByFile)
    ));
    assert!(world.configuration.pause_channel("a", true).await.unwrap());
    assert!(world.configuration.catalogue().channel("a").unwrap().paused);
}

#[tokio::test]
async fn secret_version_changes_only_with_its_value() {
    let world = World::with_channel().await;
    let host = "https://shop.example";
    let version = async |token: Value| world.connect(host, token).await.unwrap().stored.version;
    let first = version(json!({"value": "one"})).await;
    assert_eq!(version(json!({"value": "one"})).await, first);
    assert_eq!(version(json!({"stored": true})).await, first);
    let second = version(json!({"value": "two"})).await;
    assert_eq!(second, first + 1);
    let name = connection_name("shop");
    assert_eq!(
        world.store.document(&name).await.unwrap().unwrap().version,
        second,
        "the stored version is the returned one"
    );
    let refused = world.connect(host, json!({"value": ""})).await.unwrap_err();
    let ConfigurationError::Invalid { issues } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (issues[0].pointer.as_str(), issues[0].code),
        ("/auth/token", "secret.unreadable")
    );
}
