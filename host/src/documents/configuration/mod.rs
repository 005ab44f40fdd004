//! The documents in force, and the only way to change them.
//!
//! Changes run one at a time. Each change is checked, written to the store, its secrets go to the
//! vault, and a new [`Catalogue`] is published. A credential stays bound to the hosts that it was
//! entered for: a connection whose settings lead to another host is parked until the credential is
//! entered again.

mod apply_file;
mod document;
mod error;
mod secrets;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::{Mutex, watch};

use crate::documents::catalogue::{Catalogue, ConnectionState};
use crate::documents::model::{ChannelDocument, ConnectionDocument};
use crate::documents::validate::Issue;
use crate::store::documents::{DocumentKind, DocumentName, ManagedBy, StoredDocument};
use crate::store::{Store, StoreError};
use crate::vault::Vault;

pub use document::Document;
pub use error::ConfigurationError;

/// The reason of a connection that is parked because its credential belongs to other hosts.
pub const NEEDS_REENTRY: &str = "credential needs re-entry";

/// The result of a write.
#[derive(Clone, Debug)]
pub struct Put {
    /// The document as stored: its JSON contains no secret.
    pub stored: StoredDocument,
    pub created: bool,
}

/// Reads a variable of the host's environment.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Checks a connection's settings against the schema of its channel's connector. The pointers begin
/// at the settings. A connector that is not installed has no schema and reports nothing. It ends
/// within a bounded time: settings that could not be judged are an issue, too.
pub type SettingsCheck = Arc<
    dyn Fn(&ChannelDocument, &ConnectionDocument) -> BoxFuture<'static, Vec<Issue>> + Send + Sync,
>;

pub struct Configuration {
    store: Store,
    vault: Vault,
    variables: Variables,
    settings_check: SettingsCheck,
    current: watch::Sender<Arc<Catalogue>>,
    /// Held during a change, from its first read to the published snapshot.
    change: Mutex<()>,
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").finish_non_exhaustive()
    }
}

impl Configuration {
    /// Reads the stored documents. `variables` resolves `{ env = … }`.
    pub async fn open(
        store: Store,
        vault: Vault,
        variables: Variables,
    ) -> Result<Self, StoreError> {
        let catalogue = read(&store).await?;
        Ok(Self {
            store,
            vault,
            variables,
            settings_check: Arc::new(|_, _| std::future::ready(Vec::new()).boxed()),
            current: watch::Sender::new(Arc::new(catalogue)),
            change: Mutex::new(()),
        })
    }

    pub fn with_settings_check(self, settings_check: SettingsCheck) -> Self {
        Self {
            settings_check,
            ..self
        }
    }

    /// The documents in force now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.current.borrow())
    }

    /// Receives each new catalogue.
    pub fn changed(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.current.subscribe()
    }

    /// The problems of a connection's settings, with pointers into the connection.
    pub async fn settings_issues(
        &self,
        channel: &ChannelDocument,
        connection: &ConnectionDocument,
    ) -> Vec<Issue> {
        let issues = (self.settings_check)(channel, connection).await;
        issues
            .into_iter()
            .map(|issue| issue.under("/settings"))
            .collect()
    }

    /// Writes a document. With `if_match`, only if the document has this version. Errors:
    /// [`ConfigurationError::Invalid`] with all problems, or the error of the store or the vault.
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

    /// Writes documents with their pointers, managed by the API. No document may refer to a later
    /// one. Problems that can be known in advance (a missing secret, a document that the file
    /// manages) are found before the first write.
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

    /// Removes a document that nothing needs, with its secrets.
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

    /// Pauses or resumes a channel. Returns false if the channel does not exist.
    pub async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError> {
        let _one_at_a_time = self.change.lock().await;
        let known = self.store.pause_channel(channel, paused).await?;
        self.publish().await?;
        Ok(known)
    }

    /// Stores the state that the host determined for a connection, unless a person paused the
    /// connection. With `judged`, only if the connection still has this state. Returns whether the
    /// state was stored.
    pub async fn keep_connection_state(
        &self,
        connection: ConnectionId,
        found: &ConnectionState,
        judged: Option<&ConnectionState>,
    ) -> Result<bool, StoreError> {
        let _one_at_a_time = self.change.lock().await;
        let judged = judged.map(|judged| (judged.as_str(), judged.reason()));
        let kept = self
            .store
            .keep_connection_state(connection, (found.as_str(), found.reason()), judged)
            .await?;
        self.publish().await?;
        Ok(kept)
    }

    /// Sets the state that a person chose for a connection.
    pub async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &ConnectionState,
    ) -> Result<(), StoreError> {
        let _one_at_a_time = self.change.lock().await;
        self.store
            .set_connection_state(connection, state.as_str(), state.reason())
            .await?;
        self.publish().await
    }

    async fn publish(&self) -> Result<(), StoreError> {
        let catalogue = read(&self.store).await?;
        self.current.send_replace(Arc::new(catalogue));
        Ok(())
    }
}

async fn read(store: &Store) -> Result<Catalogue, StoreError> {
    let mut rows = Vec::new();
    for kind in [
        DocumentKind::Subscription,
        DocumentKind::Source,
        DocumentKind::Channel,
        DocumentKind::Connection,
    ] {
        rows.extend(store.documents(kind).await?);
    }
    Catalogue::from_rows(rows)
}
