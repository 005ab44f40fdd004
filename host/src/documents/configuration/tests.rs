//! What follows from a change, with documents and secrets kept in memory.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Mutex as Lock;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;
use crate::documents::model::Documents;

#[derive(Default)]
struct Shelved {
    rows: Lock<BTreeMap<DocumentName, StoredDocument>>,
    in_use: Lock<Vec<DocumentName>>,
}

#[async_trait]
impl Shelf for Shelved {
    async fn put(
        &self,
        name: &DocumentName,
        json: &str,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<StoredDocument, DocumentError> {
        let mut rows = self.rows.lock().unwrap();
        let id = i64::try_from(rows.len()).unwrap() + 1;
        let row = rows.entry(name.clone()).or_insert_with(|| StoredDocument {
            name: name.clone(),
            id,
            json: String::new(),
            version: 0,
            managed_by,
            paused: false,
            state: "active".to_owned(),
            state_reason: None,
        });
        if managed_by == ManagedBy::Api && row.managed_by == ManagedBy::File {
            return Err(DocumentError::ManagedByFile);
        }
        assert!(if_match.is_none_or(|wanted| wanted == row.version));
        row.managed_by = managed_by;
        if row.json != json {
            row.version += 1;
            row.json = json.to_owned();
        }
        Ok(row.clone())
    }

    async fn document(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        Ok(self.rows.lock().unwrap().get(name).cloned())
    }

    async fn documents(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError> {
        let is_kind = |name: &DocumentName| match name {
            DocumentName::Subscription(_) => kind == DocumentKind::Subscription,
            DocumentName::Source(_) => kind == DocumentKind::Source,
            DocumentName::Channel(_) => kind == DocumentKind::Channel,
            DocumentName::Connection { .. } => kind == DocumentKind::Connection,
        };
        Ok(self
            .rows
            .lock()
            .unwrap()
            .values()
            .filter(|row| is_kind(&row.name))
            .cloned()
            .collect())
    }

    async fn delete(
        &self,
        name: &DocumentName,
        _: ManagedBy,
        _: Option<i64>,
    ) -> Result<(), DocumentError> {
        if self.in_use.lock().unwrap().contains(name) {
            return Err(DocumentError::InUse("3 unfinished jobs".to_owned()));
        }
        self.rows.lock().unwrap().remove(name);
        Ok(())
    }

    async fn renew(&self, name: &DocumentName) -> Result<i64, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(name).unwrap();
        row.version += 1;
        Ok(row.version)
    }

    async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError> {
        let mut rows = self.rows.lock().unwrap();
        Ok(rows
            .get_mut(&DocumentName::Channel(channel.to_owned()))
            .map(|row| row.paused = paused)
            .is_some())
    }

    async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut rows = self.rows.lock().unwrap();
        let row = rows
            .values_mut()
            .find(|row| row.id == connection.0)
            .unwrap();
        row.state = state.to_owned();
        row.state_reason = reason.map(ToOwned::to_owned);
        Ok(())
    }

    async fn keep_connection_state(
        &self,
        connection: ConnectionId,
        (state, reason): (&str, Option<&str>),
        judged: Option<(&str, Option<&str>)>,
    ) -> Result<bool, StoreError> {
        let stands = {
            let rows = self.rows.lock().unwrap();
            let row = rows.values().find(|row| row.id == connection.0).unwrap();
            row.state != "paused"
                && judged.is_none_or(|judged| {
                    judged == (row.state.as_str(), row.state_reason.as_deref())
                })
        };
        if stands {
            self.set_connection_state(connection, state, reason).await?;
        }
        Ok(stands)
    }
}

/// A value and its hosts by owner and name.
type Kept = BTreeMap<(String, String), (String, Vec<String>)>;

#[derive(Default)]
struct Safe(Lock<Kept>);

#[async_trait]
impl SecretSink for Safe {
    async fn put(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: &[String],
    ) -> Result<bool, SecretSinkError> {
        let entry = (value.expose_secret().to_owned(), bound_hosts.to_vec());
        let before = self
            .0
            .lock()
            .unwrap()
            .insert((owner.to_owned(), name.to_owned()), entry.clone());
        Ok(before != Some(entry))
    }

    async fn bound_hosts(
        &self,
        owner: &str,
        name: &str,
    ) -> Result<Option<Vec<String>>, SecretSinkError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .get(&(owner.to_owned(), name.to_owned()))
            .map(|(_, hosts)| hosts.clone()))
    }

    async fn forget(&self, owner: &str, name: &str) -> Result<(), SecretSinkError> {
        self.0
            .lock()
            .unwrap()
            .remove(&(owner.to_owned(), name.to_owned()));
        Ok(())
    }
}

struct Desk {
    configuration: Configuration,
    shelf: Arc<Shelved>,
    safe: Arc<Safe>,
}

impl Desk {
    async fn new() -> Self {
        let (shelf, safe) = (Arc::new(Shelved::default()), Arc::new(Safe::default()));
        let variables: Variables =
            Arc::new(|name| (name == "TOKEN").then(|| "from-env".to_owned()));
        let (shelf_in, safe_in): (Arc<dyn Shelf>, Arc<dyn SecretSink>) =
            (shelf.clone(), safe.clone());
        let configuration = Configuration::open(shelf_in, safe_in, variables)
            .await
            .unwrap();
        Self {
            configuration,
            shelf,
            safe,
        }
    }

    async fn with_channel() -> Self {
        let desk = Self::new().await;
        let subscription =
            Document::Subscription(serde_json::from_value(json!({"name": "acme"})).unwrap());
        let channel = Document::Channel(
            serde_json::from_value(json!({"name": "shop", "connector": "sandbox"})).unwrap(),
        );
        desk.configuration
            .put(subscription, ManagedBy::Api, None)
            .await
            .unwrap();
        desk.configuration
            .put(channel, ManagedBy::Api, None)
            .await
            .unwrap();
        desk
    }

    async fn connect(&self, base_url: &str, token: Value) -> Result<Put, ConfigurationError> {
        let document = json!({"subscription": "acme", "channel": "shop", "settings": {"base_url": base_url}, "auth": {"scheme": "bearer", "token": token}});
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

    fn secrets(&self) -> Vec<(String, String, Vec<String>)> {
        let safe = self.safe.0.lock().unwrap();
        safe.iter()
            .map(|((owner, name), (value, hosts))| {
                (format!("{owner}/{name}"), value.clone(), hosts.clone())
            })
            .collect()
    }
}

fn parked() -> ConnectionState {
    ConnectionState::Parked {
        reason: NEEDS_REENTRY.to_owned(),
    }
}

#[tokio::test]
async fn a_value_goes_to_the_vault_and_leaves_a_marker() {
    let desk = Desk::with_channel().await;
    let mut changed = desk.configuration.changed();
    changed.mark_unchanged();
    let put = desk
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
        desk.secrets(),
        [(
            "connection:3/token".to_owned(),
            "hush".to_owned(),
            vec!["https://shop.example".to_owned()]
        )]
    );
    assert!(changed.has_changed().unwrap());
    let catalogue = desk.configuration.catalogue();
    let connection = catalogue.connection("acme", "shop").unwrap();
    assert_eq!(
        (
            connection.id,
            connection.channel.connector.as_str(),
            &connection.state
        ),
        (ConnectionId(3), "sandbox", &ConnectionState::Active)
    );
    assert_eq!(catalogue.connections_of_channel("shop").count(), 1);
    assert_eq!(catalogue.connections_of_channel("other").count(), 0);
}

#[tokio::test]
async fn another_host_needs_the_credential_again() {
    let desk = Desk::with_channel().await;
    desk.connect("https://shop.example/a", json!({"value": "hush"}))
        .await
        .unwrap();
    desk.connect("https://shop.example/b", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(desk.state(), ConnectionState::Active);
    desk.connect("https://evil.example/b", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(desk.state(), parked());
    // A second change that keeps the new host must not free it.
    desk.connect("https://evil.example/c", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(desk.state(), parked());
    assert_eq!(desk.secrets()[0].2, ["https://shop.example"]);
    desk.connect("https://evil.example/c", json!({"value": "new"}))
        .await
        .unwrap();
    assert_eq!(desk.state(), ConnectionState::Active);
    assert_eq!(desk.secrets()[0].1, "new");
    assert_eq!(desk.secrets()[0].2, ["https://evil.example"]);
}

#[tokio::test]
async fn going_back_to_the_old_host_frees_it() {
    let desk = Desk::with_channel().await;
    desk.connect("https://shop.example", json!({"value": "hush"}))
        .await
        .unwrap();
    desk.connect("https://other.example", json!({"stored": true}))
        .await
        .unwrap();
    desk.connect("https://shop.example", json!({"stored": true}))
        .await
        .unwrap();
    assert_eq!(desk.state(), ConnectionState::Active);
}

#[tokio::test]
async fn a_persons_pause_is_not_undone() {
    let desk = Desk::with_channel().await;
    let put = desk
        .connect("https://shop.example", json!({"value": "hush"}))
        .await
        .unwrap();
    let pause = ConnectionState::Paused {
        reason: Some("sale".to_owned()),
    };
    desk.configuration
        .set_connection_state(ConnectionId(put.stored.id), &pause)
        .await
        .unwrap();
    desk.connect("https://other.example", json!({"value": "new"}))
        .await
        .unwrap();
    assert_eq!(desk.state(), pause);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_before_anything_is_written() {
    let desk = Desk::with_channel().await;
    for (token, code) in [
        (json!({"stored": true}), "secret.not_stored"),
        (json!({"env": "NOT_SET"}), "secret.unreadable"),
    ] {
        let Err(ConfigurationError::Invalid { issues }) =
            desk.connect("https://shop.example", token).await
        else {
            panic!("taken")
        };
        assert_eq!(
            (issues[0].pointer.as_str(), issues[0].code),
            ("/auth/token", code)
        );
    }
    assert!(
        desk.configuration
            .catalogue()
            .connection("acme", "shop")
            .is_none()
    );
    desk.connect("https://shop.example", json!({"env": "TOKEN"}))
        .await
        .unwrap();
    assert_eq!(desk.secrets()[0].1, "from-env");
}

#[tokio::test]
async fn a_source_at_another_host_is_refused_without_its_credential() {
    let desk = Desk::new().await;
    let put = async |host: &str, token: Value| {
        let document = json!({"name": "pim", "kind": "http", "object_url": format!("https://{host}/{{type}}/{{id}}"), "auth": {"scheme": "bearer", "token": token}});
        desk.configuration
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
        desk.secrets(),
        [(
            "source:1/token".to_owned(),
            "new".to_owned(),
            vec!["https://other.example".to_owned()]
        )]
    );
}

#[tokio::test]
async fn a_stale_version_changes_nothing() {
    let desk = Desk::with_channel().await;
    let channel = |connector: &str| {
        Document::Channel(
            serde_json::from_value(json!({"name": "shop", "connector": connector})).unwrap(),
        )
    };
    let error = desk
        .configuration
        .put(channel("other"), ManagedBy::Api, Some(7))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::Document(DocumentError::Stale { current: 1 })
    ));
    desk.configuration
        .put(channel("other"), ManagedBy::Api, Some(1))
        .await
        .unwrap();
    assert_eq!(
        desk.configuration
            .catalogue()
            .channel("shop")
            .unwrap()
            .version,
        2
    );
}

#[tokio::test]
async fn secrets_go_with_their_document() {
    let desk = Desk::with_channel().await;
    desk.connect("https://shop.example", json!({"value": "hush"}))
        .await
        .unwrap();
    let name = DocumentName::Connection {
        channel: "shop".to_owned(),
        subscription: "acme".to_owned(),
    };
    desk.configuration
        .delete(&name, ManagedBy::Api, None)
        .await
        .unwrap();
    assert_eq!(desk.secrets(), []);
    assert!(
        desk.configuration
            .catalogue()
            .connection("acme", "shop")
            .is_none()
    );
}

fn file(channels: &[&str]) -> Documents {
    let channel = |name: &&str| json!({"name": name, "connector": "sandbox"});
    let connection = |name: &&str| json!({"subscription": "acme", "channel": name, "settings": {"base_url": "https://shop.example"}, "auth": {"scheme": "bearer", "token": {"env": "TOKEN"}}});
    let documents = json!({
        "subscriptions": [{"name": "acme"}],
        "channels": channels.iter().map(channel).collect::<Vec<_>>(),
        "connections": channels.iter().map(connection).collect::<Vec<_>>(),
    });
    serde_json::from_value(documents).unwrap()
}

#[tokio::test]
async fn what_vanished_from_the_file_is_removed_unless_needed() {
    let desk = Desk::new().await;
    assert_eq!(
        desk.configuration
            .apply_file(file(&["a", "b", "c"]))
            .await
            .unwrap()
            .put,
        7
    );
    assert_eq!(desk.secrets().len(), 3);
    let busy = DocumentName::Connection {
        channel: "b".to_owned(),
        subscription: "acme".to_owned(),
    };
    desk.shelf
        .in_use
        .lock()
        .unwrap()
        .extend([busy.clone(), DocumentName::Channel("b".to_owned())]);
    let applied = desk.configuration.apply_file(file(&["a"])).await.unwrap();
    assert_eq!(
        applied.removed,
        [
            DocumentName::Connection {
                channel: "c".to_owned(),
                subscription: "acme".to_owned()
            },
            DocumentName::Channel("c".to_owned())
        ]
    );
    assert_eq!(
        applied
            .kept
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>(),
        [busy, DocumentName::Channel("b".to_owned())]
    );
    let catalogue = desk.configuration.catalogue();
    assert_eq!(
        catalogue
            .channels()
            .map(|c| c.document.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(desk.secrets().len(), 2);
}

#[tokio::test]
async fn a_file_whose_secrets_cannot_be_read_changes_nothing() {
    let desk = Desk::new().await;
    let mut documents = file(&["a", "b"]);
    documents.connections[1].auth = Some(
        serde_json::from_value(json!({"scheme": "bearer", "token": {"env": "NOT_SET"}})).unwrap(),
    );
    let Err(ConfigurationError::Invalid { issues }) =
        desk.configuration.apply_file(documents).await
    else {
        panic!("taken")
    };
    assert_eq!(
        (issues[0].pointer.as_str(), issues[0].code),
        ("/connections/1/auth/token", "secret.unreadable")
    );
    assert_eq!(desk.configuration.catalogue().subscriptions().count(), 0);
}

#[tokio::test]
async fn the_api_does_not_change_what_the_file_manages() {
    let desk = Desk::new().await;
    desk.configuration.apply_file(file(&["a"])).await.unwrap();
    let channel = Document::Channel(
        serde_json::from_value(json!({"name": "a", "connector": "other"})).unwrap(),
    );
    let error = desk
        .configuration
        .put(channel, ManagedBy::Api, None)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ConfigurationError::Document(DocumentError::ManagedByFile)
    ));
    assert!(desk.configuration.pause_channel("a", true).await.unwrap());
    assert!(desk.configuration.catalogue().channel("a").unwrap().paused);
}

#[tokio::test]
async fn another_value_of_a_secret_is_another_version_and_the_same_is_not() {
    let desk = Desk::with_channel().await;
    let host = "https://shop.example";
    let version = async |token: Value| desk.connect(host, token).await.unwrap().stored.version;
    let first = version(json!({"value": "one"})).await;
    assert_eq!(version(json!({"value": "one"})).await, first);
    assert_eq!(version(json!({"stored": true})).await, first);
    let second = version(json!({"value": "two"})).await;
    assert_eq!(second, first + 1);
    let name = DocumentName::Connection {
        channel: "shop".to_owned(),
        subscription: "acme".to_owned(),
    };
    assert_eq!(
        desk.shelf.document(&name).await.unwrap().unwrap().version,
        second,
        "what is read next says so as well"
    );
    let refused = desk.connect(host, json!({"value": ""})).await.unwrap_err();
    let ConfigurationError::Invalid { issues } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (issues[0].pointer.as_str(), issues[0].code),
        ("/auth/token", "secret.unreadable")
    );
}
