//! The documents in force: an immutable snapshot, indexed by name and by id.
//!
//! Readers hold a snapshot as long as they like; a change publishes a new one. The channel and the
//! subscription of every connection are in the same snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use egression_core::domain::ids::{ChannelId, ConnectionId, SourceId, SubscriptionId};

use super::model::{ChannelDocument, ConnectionDocument, SourceDocument, SubscriptionDocument};
use crate::store::StoreError;
use crate::store::documents::{DocumentName, StoredDocument};

#[derive(Clone, Debug)]
pub struct Entry<I, D> {
    pub id: I,
    pub version: i64,
    /// Secrets are references or markers.
    pub document: D,
}

pub type Subscription = Entry<SubscriptionId, SubscriptionDocument>;
pub type Source = Entry<SourceId, SourceDocument>;

#[derive(Clone, Debug)]
pub struct Channel {
    pub entry: Entry<ChannelId, ChannelDocument>,
    pub paused: bool,
}

#[derive(Clone, Debug)]
pub struct Connection {
    pub entry: Entry<ConnectionId, ConnectionDocument>,
    pub channel: Arc<Channel>,
    pub subscription: Arc<Subscription>,
    pub state: ConnectionState,
}

/// Whether a connection may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    Active,
    Paused {
        /// The reason that the person gave.
        reason: Option<String>,
    },
    /// The host parked the connection: the credential or the settings are refused or missing.
    Parked {
        reason: String,
    },
}

/// The reason of a connection that is parked because its channel no longer lists its subscription.
/// It follows from the documents in force and is not stored, so no act can end it.
pub const UNLISTED: &str = "the channel does not list the subscription";

#[derive(Debug, Default)]
pub struct Catalogue {
    subscriptions: BTreeMap<String, Arc<Subscription>>,
    sources: BTreeMap<String, Arc<Source>>,
    channels: BTreeMap<String, Arc<Channel>>,
    connections: BTreeMap<ConnectionId, Arc<Connection>>,
    subscriptions_by_id: HashMap<SubscriptionId, Arc<Subscription>>,
    sources_by_id: HashMap<SourceId, Arc<Source>>,
    connections_by_pair: HashMap<(SubscriptionId, ChannelId), Arc<Connection>>,
}

impl<I, D> std::ops::Deref for Entry<I, D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.document
    }
}

impl std::ops::Deref for Channel {
    type Target = Entry<ChannelId, ChannelDocument>;

    fn deref(&self) -> &Self::Target {
        &self.entry
    }
}

impl std::ops::Deref for Connection {
    type Target = Entry<ConnectionId, ConnectionDocument>;

    fn deref(&self) -> &Self::Target {
        &self.entry
    }
}

impl Connection {
    /// The connection's name in logs: `acme/shop-de`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.document.subscription, self.document.channel)
    }
}

impl ConnectionState {
    /// The word used in the store and the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused { .. } => "paused",
            Self::Parked { .. } => "parked",
        }
    }

    /// Why the connection may not be used.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Active => None,
            Self::Paused { reason } => reason.as_deref(),
            Self::Parked { reason } => Some(reason),
        }
    }
}

impl Catalogue {
    pub fn subscription(&self, name: &str) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(name)
    }

    pub fn subscription_by_id(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.subscriptions_by_id.get(&id)
    }

    pub fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.get(name)
    }

    /// A source that the subscription may name.
    pub fn source_for(&self, subscription: &str, name: &str) -> Option<&Arc<Source>> {
        self.source(name)
            .filter(|source| source.subscriptions.contains(subscription))
    }

    pub fn source_by_id(&self, id: SourceId) -> Option<&Arc<Source>> {
        self.sources_by_id.get(&id)
    }

    pub fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values()
    }

    pub fn channel(&self, name: &str) -> Option<&Arc<Channel>> {
        self.channels.get(name)
    }

    /// A channel that the subscription may connect to.
    pub fn channel_for(&self, subscription: &str, name: &str) -> Option<&Arc<Channel>> {
        self.channel(name)
            .filter(|channel| channel.subscriptions.contains(subscription))
    }

    pub fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.values()
    }

    pub fn connection(&self, subscription: &str, channel: &str) -> Option<&Arc<Connection>> {
        let pair = (
            self.subscription(subscription)?.id,
            self.channel(channel)?.id,
        );
        self.connections_by_pair.get(&pair)
    }

    pub fn connection_by_id(&self, id: ConnectionId) -> Option<&Arc<Connection>> {
        self.connections.get(&id)
    }

    pub fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.connections.values()
    }

    /// The connections of a channel, in the order of their ids.
    pub fn connections_of_channel<'a>(
        &'a self,
        channel: &str,
    ) -> impl Iterator<Item = &'a Arc<Connection>> {
        let id = self.channel(channel).map(|channel| channel.id);
        self.connections
            .values()
            .filter(move |connection| Some(connection.channel.id) == id)
    }

    /// Builds a snapshot from the store's rows, in any order. Errors: [`StoreError::Corrupt`] for a
    /// row that no version of this program wrote.
    pub fn from_rows(mut rows: Vec<StoredDocument>) -> Result<Self, StoreError> {
        // Connections last: they refer to the others.
        rows.sort_by_key(|row| matches!(row.name, DocumentName::Connection { .. }));
        let mut catalogue = Self::default();
        for row in &rows {
            catalogue.add(row)?;
        }
        Ok(catalogue)
    }

    fn add(&mut self, row: &StoredDocument) -> Result<(), StoreError> {
        match &row.name {
            DocumentName::Subscription(name) => {
                let subscription: Arc<Subscription> = Arc::new(entry(row, SubscriptionId(row.id))?);
                self.subscriptions_by_id
                    .insert(subscription.id, Arc::clone(&subscription));
                self.subscriptions.insert(name.clone(), subscription);
            }
            DocumentName::Source(name) => {
                let source: Arc<Source> = Arc::new(entry(row, SourceId(row.id))?);
                self.sources_by_id.insert(source.id, Arc::clone(&source));
                self.sources.insert(name.clone(), source);
            }
            DocumentName::Channel(name) => {
                let channel = Arc::new(Channel {
                    entry: entry(row, ChannelId(row.id))?,
                    paused: row.paused,
                });
                self.channels.insert(name.clone(), channel);
            }
            DocumentName::Connection {
                channel,
                subscription,
            } => {
                let missing = |kind: &str, name: &str| {
                    StoreError::Corrupt(format!(
                        "connection {} refers to the missing {kind} `{name}`",
                        row.id
                    ))
                };
                let channel = self
                    .channel(channel)
                    .cloned()
                    .ok_or_else(|| missing("channel", channel))?;
                let state = if channel.subscriptions.contains(subscription) {
                    state(row)?
                } else {
                    ConnectionState::Parked {
                        reason: UNLISTED.to_owned(),
                    }
                };
                let connection = Arc::new(Connection {
                    entry: entry(row, ConnectionId(row.id))?,
                    channel,
                    subscription: self
                        .subscription(subscription)
                        .cloned()
                        .ok_or_else(|| missing("subscription", subscription))?,
                    state,
                });
                let pair = (connection.subscription.id, connection.channel.id);
                self.connections_by_pair
                    .insert(pair, Arc::clone(&connection));
                self.connections.insert(connection.id, connection);
            }
        }
        Ok(())
    }
}

fn entry<I, D: serde::de::DeserializeOwned>(
    row: &StoredDocument,
    id: I,
) -> Result<Entry<I, D>, StoreError> {
    let document = serde_json::from_str(&row.json)
        .map_err(|error| StoreError::Corrupt(format!("{:?}: {error}", row.name)))?;
    Ok(Entry {
        id,
        version: row.version,
        document,
    })
}

fn state(row: &StoredDocument) -> Result<ConnectionState, StoreError> {
    let reason = row.state_reason.clone();
    match row.state.as_str() {
        "active" => Ok(ConnectionState::Active),
        "paused" => Ok(ConnectionState::Paused { reason }),
        "parked" => Ok(ConnectionState::Parked {
            reason: reason.unwrap_or_else(|| "no reason stored".to_owned()),
        }),
        other => Err(StoreError::Corrupt(format!(
            "connection {} has the state `{other}`",
            row.id
        ))),
    }
}
