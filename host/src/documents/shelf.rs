//! The store as configuration sees it: documents and their states.
//!
//! A trait, so that what follows from a change can be tried without a database.

use async_trait::async_trait;
use egression_core::domain::ids::ConnectionId;

use crate::store::documents::{
    DocumentError, DocumentKind, DocumentName, ManagedBy, StoredDocument,
};
use crate::store::{Store, StoreError};

/// Keeps documents. The methods are those of [`Store`].
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Writes a document; its version counts up only if the JSON changed.
    async fn put(
        &self,
        name: &DocumentName,
        json: &str,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<StoredDocument, DocumentError>;

    /// Counts a document's version up: a secret beside it is another one. Answers with the new
    /// version.
    async fn renew(&self, name: &DocumentName) -> Result<i64, StoreError>;

    async fn document(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError>;

    /// All documents of a kind, by name.
    async fn documents(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError>;

    /// Removes a document that nothing needs.
    async fn delete(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), DocumentError>;

    /// Pauses or resumes a channel; false if there is none.
    async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError>;

    /// Sets a connection's state with the reason.
    async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError>;

    /// Keeps what the host found out about a connection.
    async fn keep_connection_state(
        &self,
        connection: ConnectionId,
        found: (&str, Option<&str>),
        judged: Option<(&str, Option<&str>)>,
    ) -> Result<bool, StoreError>;
}

#[async_trait]
impl Shelf for Store {
    async fn put(
        &self,
        name: &DocumentName,
        json: &str,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<StoredDocument, DocumentError> {
        self.put_document(name, json, managed_by, if_match).await
    }

    async fn renew(&self, name: &DocumentName) -> Result<i64, StoreError> {
        self.renew_document(name).await
    }

    async fn document(&self, name: &DocumentName) -> Result<Option<StoredDocument>, StoreError> {
        Self::document(self, name).await
    }

    async fn documents(&self, kind: DocumentKind) -> Result<Vec<StoredDocument>, StoreError> {
        Self::documents(self, kind).await
    }

    async fn delete(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), DocumentError> {
        self.delete_document(name, by, if_match).await
    }

    async fn pause_channel(&self, channel: &str, paused: bool) -> Result<bool, StoreError> {
        Self::pause_channel(self, channel, paused).await
    }

    async fn set_connection_state(
        &self,
        connection: ConnectionId,
        state: &str,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        Self::set_connection_state(self, connection, state, reason).await
    }

    async fn keep_connection_state(
        &self,
        connection: ConnectionId,
        found: (&str, Option<&str>),
        judged: Option<(&str, Option<&str>)>,
    ) -> Result<bool, StoreError> {
        Self::keep_connection_state(self, connection, found, judged).await
    }
}
