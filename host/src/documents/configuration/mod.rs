//! The documents in force and the only way to change them.
//!
//! A change is checked, written through the store, its secrets go to the vault, and a new
//! [`Catalogue`] is published. One change at a time. A credential stays bound to the hosts that it
//! was entered for: a connection whose settings lead elsewhere is parked until the credential is
//! entered again.

mod apply_file;
mod change;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use tokio::sync::{Mutex, watch};

use crate::documents::catalogue::{Catalogue, ConnectionState};
use crate::documents::invalid_settings::SettingsSchemas;
use crate::documents::model::{
    ChannelDocument, ConnectionDocument, SourceDocument, SubscriptionDocument,
};
use crate::documents::secrets::{SecretSink, SecretSinkError};
use crate::documents::shelf::Shelf;
use crate::documents::validate::{self, Issue};
use crate::store::StoreError;
use crate::store::documents::{
    DocumentError, DocumentKind, DocumentName, ManagedBy, StoredDocument,
};

pub use apply_file::Applied;

/// The reason of a connection that is parked because its credential belongs to other hosts.
pub const NEEDS_REENTRY: &str = "credential needs re-entry";

#[derive(Clone, Debug)]
pub enum Document {
    Subscription(SubscriptionDocument),
    Source(SourceDocument),
    Channel(ChannelDocument),
    /// A subscription's way into a channel.
    Connection(ConnectionDocument),
}

/// What came of writing a document.
#[derive(Clone, Debug)]
pub struct Put {
    /// The document as stored: its JSON holds no secret.
    pub stored: StoredDocument,
    /// It was not there before.
    pub created: bool,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The document makes no sense.
    #[error("{}", issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid { issues: Vec<Issue> },
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A secret was not kept. The document is written; the connection's calls wait for the secret.
    #[error("the secret was not kept: {0}")]
    Secret(#[from] SecretSinkError),
}

impl From<StoreError> for ConfigurationError {
    fn from(error: StoreError) -> Self {
        Self::Document(error.into())
    }
}

pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub struct Configuration {
    shelf: Arc<dyn Shelf>,
    secrets: Arc<dyn SecretSink>,
    variables: Variables,
    pub(super) schemas: Option<Arc<dyn SettingsSchemas>>,
    current: watch::Sender<Arc<Catalogue>>,
    /// Held during a change, from its first read to the published snapshot.
    change: Mutex<()>,
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").finish_non_exhaustive()
    }
}

impl Document {
    #[must_use]
    pub fn name(&self) -> DocumentName {
        match self {
            Self::Subscription(document) => DocumentName::Subscription(document.name.clone()),
            Self::Source(document) => DocumentName::Source(document.name.clone()),
            Self::Channel(document) => DocumentName::Channel(document.name.clone()),
            Self::Connection(document) => DocumentName::Connection {
                channel: document.channel.clone(),
                subscription: document.subscription.clone(),
            },
        }
    }

    /// What is wrong with it, by itself.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        match self {
            Self::Subscription(document) => validate::subscription(document),
            Self::Source(document) => validate::source(document),
            Self::Channel(document) => validate::channel(document),
            Self::Connection(document) => validate::connection(document),
        }
    }
}

impl Configuration {
    /// Reads what is stored. `variables` reads the host's environment, for `{ env = … }`.
    pub async fn open(
        shelf: Arc<dyn Shelf>,
        secrets: Arc<dyn SecretSink>,
        variables: Variables,
    ) -> Result<Self, StoreError> {
        let catalogue = read(shelf.as_ref()).await?;
        Ok(Self {
            shelf,
            secrets,
            variables,
            schemas: None,
            current: watch::Sender::new(Arc::new(catalogue)),
            change: Mutex::new(()),
        })
    }

    /// The same with the connectors' schemas: settings are checked from now on.
    #[must_use]
    pub fn with_schemas(self, schemas: Arc<dyn SettingsSchemas>) -> Self {
        Self {
            schemas: Some(schemas),
            ..self
        }
    }

    /// What is in force now.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.borrow())
    }

    /// Follows what is in force.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.current.subscribe()
    }

    /// Writes a document. `if_match`: only if it is at this version.
    ///
    /// # Errors
    /// [`ConfigurationError::Invalid`] with all that is wrong; else what the store or the vault
    /// says.
    pub async fn put(
        &self,
        document: Document,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<Put, ConfigurationError> {
        let _one_at_a_time = self.change.lock().await;
        let put = self.write(document, managed_by, if_match).await;
        self.publish().await?;
        put
    }

    /// Writes documents as the API's, none naming a later one, with their pointers. What can be
    /// known to be wrong with one of them — a secret that is not there, or a file that looks after
    /// it — is found before any is written.
    pub async fn put_set(
        &self,
        documents: Vec<(String, Document)>,
    ) -> Result<Vec<Put>, ConfigurationError> {
        let _one_at_a_time = self.change.lock().await;
        self.check_set(&documents).await?;
        let puts = self.write_set(documents).await;
        self.publish().await?;
        puts
    }

    /// Removes a document that nothing needs, with its secrets. `by`: who asks.
    ///
    /// # Errors
    /// What the store or the vault says.
    pub async fn delete(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), ConfigurationError> {
        let _one_at_a_time = self.change.lock().await;
        let removed = self.remove(name, by, if_match).await;
        self.publish().await?;
        removed
    }

    /// Pauses or resumes a channel; false if there is none.
    pub async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError> {
        let _one_at_a_time = self.change.lock().await;
        let known = self.shelf.pause_channel(channel, paused).await?;
        self.publish().await?;
        Ok(known)
    }

    /// Keeps what the host found out about a connection; a person's pause stays. `judged`: how it
    /// stood when that was found out; if it stands otherwise by now, somebody knows better. Whether
    /// it was kept.
    pub async fn keep_connection_state(
        &self,
        connection: ConnectionId,
        found: &ConnectionState,
        judged: Option<&ConnectionState>,
    ) -> Result<bool, StoreError> {
        let _one_at_a_time = self.change.lock().await;
        let judged = judged.map(|judged| (judged.as_str(), judged.reason()));
        let kept = self
            .shelf
            .keep_connection_state(connection, (found.as_str(), found.reason()), judged)
            .await?;
        self.publish().await?;
        Ok(kept)
    }

    /// Sets whether a connection may be used, as a person says.
    pub async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &ConnectionState,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.change.lock().await;
        self.shelf
            .set_connection_state(connection, state.as_str(), state.reason())
            .await?;
        self.publish().await
    }

    /// Reads the store anew and publishes what is there.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.change.lock().await;
        self.publish().await
    }

    async fn publish(&self) -> Result<(), StoreError> {
        let catalogue = read(self.shelf.as_ref()).await?;
        self.current.send_replace(Arc::new(catalogue));
        Ok(())
    }
}

async fn read(shelf: &dyn Shelf) -> Result<Catalogue, StoreError> {
    let mut rows = Vec::new();
    for kind in [
        DocumentKind::Subscription,
        DocumentKind::Source,
        DocumentKind::Channel,
        DocumentKind::Connection,
    ] {
        rows.extend(shelf.documents(kind).await?);
    }
    Catalogue::from_rows(rows)
}
