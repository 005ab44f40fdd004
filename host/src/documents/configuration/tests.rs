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
        world.put(subscription("acme")).await.unwrap();
        world.put(channel("shop", "sandbox")).await.unwrap();
        world
    }

    async fn put(&self, document: Document) -> Result<Put, ConfigurationError> {
        let configuration = &self.configuration;
        configuration.put(document, ManagedBy::Api, None).await
    }

    async fn try_connect(&self, base_url: &str, token: Value) -> Result<Put, ConfigurationError> {
        let document = json!({
            "subscription": "acme", "channel": "shop", "settings": {"base_url": base_url},
            "auth": {"scheme": "bearer", "token": token},
        });
        self.put(Document::Connection(read(document))).await
    }

    async fn connect(&self, base_url: &str, token: Value) -> Put {
        self.try_connect(base_url, token).await.unwrap()
    }

    fn state(&self) -> ConnectionState {
        let catalogue = self.configuration.catalogue();
        let connection = catalogue.connection("acme", "shop").unwrap();
        connection.state.clone()
    }

    fn is_connected(&self) -> bool {
        let catalogue = self.configuration.catalogue();
        catalogue.connection("acme", "shop").is_some()
    }

    /// The token of an owner in the vault, with its hosts.
    async fn token(&self, owner: Owner) -> Option<(String, Vec<String>)> {
        let secret = self.vault.get(owner, "token").await.unwrap()?;
        Some((secret.value.expose_secret().to_owned(), secret.bound_hosts))
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn subscription(name: &str) -> Document {
    Document::Subscription(read(json!({"name": name})))
}

fn channel(name: &str, connector: &str) -> Document {
    Document::Channel(read(json!({"name": name, "connector": connector})))
}

/// A secret that is sent.
fn value(text: &str) -> Value {
    json!({"value": text})
}

/// The marker of a stored secret.
fn stored() -> Value {
    json!({"stored": true})
}

/// The place and the code of the first problem.
fn refused<T>(result: Result<T, ConfigurationError>) -> (String, &'static str) {
    let Err(ConfigurationError::Invalid { issues }) = result else {
        panic!("not refused")
    };
    (issues[0].pointer.clone(), issues[0].code)
}

/// What `World::token` returns.
fn entered(value: &str, host: &str) -> Option<(String, Vec<String>)> {
    Some((value.to_owned(), vec![host.to_owned()]))
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
        .connect("https://shop.example/api", value("hush-hush"))
        .await;
    assert!(
        put.created
            && !put.stored.json.contains("hush-hush")
            && put.stored.json.contains(r#"{"stored":true}"#),
        "{}",
        put.stored.json
    );
    let token = world.token(connection_owner(1)).await;
    assert_eq!(token, entered("hush-hush", "https://shop.example"));
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
        .connect("https://shop.example/a", value("hush-hush"))
        .await;
    world.connect("https://shop.example/b", stored()).await;
    assert_eq!(world.state(), ConnectionState::Active);
    world.connect("https://evil.example/b", stored()).await;
    assert_eq!(world.state(), parked());
    // A second change that keeps the new host must not free it.
    world.connect("https://evil.example/c", stored()).await;
    assert_eq!(world.state(), parked());
    let bound = world.token(connection_owner(1)).await.unwrap().1;
    assert_eq!(bound, ["https://shop.example"]);
    world
        .connect("https://evil.example/c", value("new-secret"))
        .await;
    assert_eq!(world.state(), ConnectionState::Active);
    let token = world.token(connection_owner(1)).await;
    assert_eq!(token, entered("new-secret", "https://evil.example"));
}

#[tokio::test]
async fn connection_is_active_again_at_its_old_host() {
    let world = World::with_channel().await;
    world
        .connect("https://shop.example", value("hush-hush"))
        .await;
    world.connect("https://other.example", stored()).await;
    world.connect("https://shop.example", stored()).await;
    assert_eq!(world.state(), ConnectionState::Active);
}

#[tokio::test]
async fn pause_by_a_person_survives_a_change() {
    let world = World::with_channel().await;
    let put = world
        .connect("https://shop.example", value("hush-hush"))
        .await;
    let pause = ConnectionState::Paused {
        reason: Some("sale".to_owned()),
    };
    let id = ConnectionId(put.stored.id);
    let pausing = world.configuration.set_connection_state(id, &pause);
    pausing.await.unwrap();
    world
        .connect("https://other.example", value("new-secret"))
        .await;
    assert_eq!(world.state(), pause);
}

#[tokio::test]
async fn secret_that_cannot_be_read_is_refused_before_any_write() {
    let world = World::with_channel().await;
    for (token, code) in [
        (stored(), "secret.not_stored"),
        (json!({"env": "NOT_SET"}), "secret.unreadable"),
    ] {
        let result = world.try_connect("https://shop.example", token).await;
        assert_eq!(refused(result), ("/auth/token".to_owned(), code));
    }
    assert!(!world.is_connected());
    world
        .connect("https://shop.example", json!({"env": "TOKEN"}))
        .await;
    let token = world.token(connection_owner(1)).await.unwrap();
    assert_eq!(token.0, "from-env");
}

#[tokio::test]
async fn source_at_another_host_is_refused_without_its_credential() {
    let world = World::new().await;
    let put = async |host: &str, token: Value| {
        let document = json!({"name": "pim", "subscriptions": ["*"], "kind": "http",
            "object_url": format!("https://{host}/{{type}}/{{id}}"), "auth": {"scheme": "bearer",
            "token": token}});
        world.put(Document::Source(read(document))).await
    };
    put("pim.example", value("hush-hush")).await.unwrap();
    put("pim.example", stored()).await.unwrap();
    let result = put("evil.example", stored()).await;
    assert_eq!(
        refused(result),
        ("/auth/token".to_owned(), "secret.other_hosts")
    );
    put("other.example", value("new-secret")).await.unwrap();
    let token = world.token(Owner::Source(SourceId(1))).await;
    assert_eq!(token, entered("new-secret", "https://other.example"));
}

#[tokio::test]
async fn stale_version_changes_nothing() {
    let world = World::with_channel().await;
    let put = |if_match: i64| {
        let document = channel("shop", "other");
        world
            .configuration
            .put(document, ManagedBy::Api, Some(if_match))
    };
    let error = put(7).await.unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::Document(DocumentError::Stale { current: 1 })
    ));
    put(1).await.unwrap();
    let catalogue = world.configuration.catalogue();
    assert_eq!(catalogue.channel("shop").unwrap().version, 2);
}

#[tokio::test]
async fn secrets_are_deleted_with_their_document() {
    let world = World::with_channel().await;
    world
        .connect("https://shop.example", value("hush-hush"))
        .await;
    let name = connection_name("shop");
    let deletion = world.configuration.delete(&name, ManagedBy::Api, None);
    deletion.await.unwrap();
    assert_eq!(world.token(connection_owner(1)).await, None);
    assert!(!world.is_connected());
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
    read(json!({
        "subscriptions": [{"name": "acme"}],
        "channels": channels.iter().map(channel).collect::<Vec<_>>(),
        "connections": channels.iter().map(connection).collect::<Vec<_>>(),
    }))
}

#[tokio::test]
async fn document_that_left_the_file_is_removed_unless_needed() {
    let world = World::new().await;
    let applied = world.configuration.apply_file(file(&["a", "b", "c"])).await;
    assert_eq!(applied.unwrap().put, 7);
    for owner in [1, 2, 3].map(connection_owner) {
        assert!(world.token(owner).await.is_some(), "{owner}");
    }
    // A connection of the API needs the channel `b`.
    let connection = read(json!({"subscription": "other", "channel": "b"}));
    world.put(subscription("other")).await.unwrap();
    world.put(Document::Connection(connection)).await.unwrap();
    let applied = world.configuration.apply_file(file(&["a"])).await.unwrap();
    assert_eq!(
        applied.removed,
        [
            connection_name("b"),
            connection_name("c"),
            DocumentName::Channel("c".to_owned())
        ]
    );
    let kept: Vec<_> = applied.kept.into_iter().map(|(name, _)| name).collect();
    assert_eq!(kept, [DocumentName::Channel("b".to_owned())]);
    let catalogue = world.configuration.catalogue();
    let in_force = ["a", "b", "c"].map(|name| catalogue.channel(name).is_some());
    assert_eq!(in_force, [true, true, false]);
    assert!(world.token(connection_owner(1)).await.is_some());
    assert_eq!(world.token(connection_owner(2)).await, None);
    assert_eq!(world.token(connection_owner(3)).await, None);
}

#[tokio::test]
async fn file_with_unreadable_secrets_changes_nothing() {
    let world = World::new().await;
    let mut documents = file(&["a", "b"]);
    let auth = json!({"scheme": "bearer", "token": {"env": "NOT_SET"}});
    documents.connections[1].auth = Some(read(auth));
    let result = world.configuration.apply_file(documents).await;
    let place = "/connections/1/auth/token".to_owned();
    assert_eq!(refused(result), (place, "secret.unreadable"));
    let catalogue = world.configuration.catalogue();
    assert!(catalogue.subscription("acme").is_none());
}

#[tokio::test]
async fn file_managed_document_is_not_changed_by_the_api() {
    let world = World::new().await;
    world.configuration.apply_file(file(&["a"])).await.unwrap();
    let error = world.put(channel("a", "other")).await.unwrap_err();
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
    let version = async |token: Value| world.connect(host, token).await.stored.version;
    let first = version(value("first-secret")).await;
    assert_eq!(version(value("first-secret")).await, first);
    assert_eq!(version(stored()).await, first);
    let second = version(value("second-secret")).await;
    assert_eq!(second, first + 1);
    let stored = world.store.document(&connection_name("shop")).await;
    let stored = stored.unwrap().unwrap();
    assert_eq!(stored.version, second, "it is the returned one");
    let result = world.try_connect(host, value("")).await;
    assert_eq!(
        refused(result),
        ("/auth/token".to_owned(), "secret.unreadable")
    );
}
