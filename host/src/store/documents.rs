//! Documents: subscriptions, sources, channels, connections.

use egression_core::domain::ids::ConnectionId;
use super::{Store, StoreError};

/// The name of a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentName {
    /// A subscription.
    Subscription(String),
    /// A source.
    Source(String),
    /// A channel.
    Channel(String),
    /// A connection.
    Connection {
        /// The channel.
        channel: String,
        /// The subscription.
        subscription: String,
    },
}

/// The kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// Subscriptions.
    Subscription,
    /// Sources.
    Source,
    /// Channels.
    Channel,
    /// Connections.
    Connection,
}

/// Who looks after a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedBy {
    /// The configuration file.
    File,
    /// The API.
    Api,
}

/// A document as stored.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// Its name.
    pub name: DocumentName,
    /// The store's number: subscription, source, channel or connection id.
    pub id: i64,
    /// Its JSON, secrets taken out.
    pub json: String,
    /// Counts changes; the ETag.
    pub version: i64,
    /// Who looks after it.
    pub managed_by: ManagedBy,
    /// A channel's pause.
    pub paused: bool,
    /// A connection's state: active, paused, parked.
    pub state: String,
    /// Why.
    pub state_reason: Option<String>,
}

/// Why a document was not changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// `If-Match` names another version.
    #[error("the document is at version {current}")]
    Stale {
        /// The current version.
        current: i64,
    },
    /// It is looked after by the configuration file.
    #[error("managed by the configuration file")]
    ManagedByFile,
    /// A document that it names does not exist.
    #[error("{0} does not exist")]
    Missing(String),
    /// Unfinished jobs or other documents need it.
    #[error("{0}")]
    InUse(String),
    /// The store's own trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes a document. The version counts up only if the JSON changed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_document(&self, name: &DocumentName, json: &str, managed_by: ManagedBy, if_match: Option<i64>) -> Result<StoredDocument, DocumentError> {
        let _ = (name, json, managed_by, if_match);
        todo!()
    }

    /// One document.
    ///
    /// # Errors
    /// What the database says.
    pub async fn document(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        let _ = (name,);
        todo!()
    }

    /// All documents of a kind, by name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn documents(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError> {
        let _ = (kind,);
        todo!()
    }

    /// Removes a document. Refused while unfinished jobs or other documents need it. The API refuses what the file manages
    /// (`by`: who asks).
    ///
    /// # Errors
    /// What the database says.
    pub async fn delete_document(&self, name: &DocumentName, by: ManagedBy, if_match: Option<i64>) -> Result<(), DocumentError> {
        let _ = (name, by, if_match);
        todo!()
    }

    /// Pauses or resumes a channel; false if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError> {
        let _ = (channel, paused);
        todo!()
    }

    /// Sets a connection's state (active, paused, parked) with the reason.
    ///
    /// # Errors
    /// What the database says.
    pub async fn set_connection_state(&self, connection: ConnectionId, state: &str, reason: Option<&str>) -> Result<(), StoreError> {
        let _ = (connection, state, reason);
        todo!()
    }
}
