//! One change of one document: checked, written, its secrets stored.

use std::collections::BTreeSet;

use super::document::{owner, secret_names};
use super::{Configuration, ConfigurationError, Document, Put};
use crate::documents::credential::hosts_of_source;
use crate::documents::model::{ChannelDocument, ConnectionDocument};
use crate::documents::validate::{self, Issue};
use crate::store::StoreError;
use crate::store::documents::{DocumentError, DocumentName, ManagedBy};

impl Configuration {
    /// Writes a document without publishing.
    pub(super) async fn write(
        &self,
        document: Document,
        managed_by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<Put, ConfigurationError> {
        let mut issues = document.issues();
        issues.extend(self.unknown_members(&document).await?);
        let name = document.name();
        let before = self.store.document(&name).await?;
        if let Some(current) = before
            .as_ref()
            .filter(|before| if_match.is_some_and(|wanted| wanted != before.version))
        {
            return Err(DocumentError::Stale {
                current: current.version,
            }
            .into());
        }
        // A connection of the file that does not fit is parked instead: it must not keep the host
        // from starting.
        if let (Document::Connection(connection), ManagedBy::Api) = (&document, managed_by) {
            issues.extend(self.unfit_for_channel(connection).await?);
        }
        let entered = self
            .entered(&document, before.as_ref(), &mut issues)
            .await?;
        if !issues.is_empty() {
            return Err(ConfigurationError::Invalid { issues });
        }
        let json = document.stored_json()?;
        let mut stored = self
            .store
            .put_document(&name, &json, managed_by, if_match)
            .await?;
        let stored = match &document {
            Document::Subscription(_) | Document::Channel(_) => stored,
            Document::Source(source) => {
                self.move_secrets(
                    &mut stored,
                    before.as_ref(),
                    entered,
                    &hosts_of_source(source),
                )
                .await?;
                stored
            }
            Document::Connection(connection) => {
                self.settle_connection(connection, stored, before.as_ref(), entered)
                    .await?
            }
        };
        Ok(Put {
            created: before.is_none(),
            stored,
        })
    }

    /// Finds the problems of a set of documents that can be known before the first write.
    pub(super) async fn check_set(
        &self,
        documents: &[(String, Document)],
    ) -> Result<(), ConfigurationError> {
        let mut found = Vec::new();
        for (pointer, document) in documents {
            let before = self.store.document(&document.name()).await?;
            if before
                .as_ref()
                .is_some_and(|before| before.managed_by == ManagedBy::File)
            {
                return Err(DocumentError::ManagedByFile.into());
            }
            let mut issues = document.issues();
            self.entered(document, before.as_ref(), &mut issues).await?;
            found.extend(issues.into_iter().map(|issue| issue.under(pointer)));
        }
        if found.is_empty() {
            Ok(())
        } else {
            Err(ConfigurationError::Invalid { issues: found })
        }
    }

    /// Writes documents, managed by the API, without publishing.
    pub(super) async fn write_set(
        &self,
        documents: Vec<(String, Document)>,
    ) -> Result<Vec<Put>, ConfigurationError> {
        let mut puts = Vec::with_capacity(documents.len());
        for (pointer, document) in documents {
            puts.push(
                self.write(document, ManagedBy::Api, None)
                    .await
                    .map_err(|error| error.under(&pointer))?,
            );
        }
        Ok(puts)
    }

    /// Removes a document without publishing.
    pub(super) async fn remove(
        &self,
        name: &DocumentName,
        by: ManagedBy,
        if_match: Option<i64>,
    ) -> Result<(), ConfigurationError> {
        let before = self.store.document(name).await?;
        self.store.delete_document(name, by, if_match).await?;
        let Some(before) = before else { return Ok(()) };
        let Some(owner) = owner(&before) else {
            return Ok(());
        };
        for secret in secret_names(&before) {
            self.vault.drop(owner, &secret, None).await?;
        }
        Ok(())
    }

    /// The subscriptions that a source or channel lists and that do not exist. One of them may have
    /// been written just before, so the stored ones count.
    async fn unknown_members(&self, document: &Document) -> Result<Vec<Issue>, StoreError> {
        let audience = match document {
            Document::Source(source) => &source.subscriptions,
            Document::Channel(channel) => &channel.subscriptions,
            Document::Subscription(_) | Document::Connection(_) => return Ok(Vec::new()),
        };
        let mut known = BTreeSet::new();
        for name in audience.names() {
            let subscription = DocumentName::Subscription(name.clone());
            if self.store.document(&subscription).await?.is_some() {
                known.insert(name.as_str());
            }
        }
        Ok(validate::unknown_members(audience, |name| {
            known.contains(name)
        }))
    }

    /// Why the channel does not take the connection: it does not list the subscription, or the
    /// settings do not fit the connector. The channel may have been written just before, so the
    /// stored one counts.
    async fn unfit_for_channel(
        &self,
        connection: &ConnectionDocument,
    ) -> Result<Vec<Issue>, StoreError> {
        let name = DocumentName::Channel(connection.channel.clone());
        let Some(channel) = self.store.document(&name).await? else {
            return Ok(Vec::new());
        };
        let channel: ChannelDocument = serde_json::from_str(&channel.json)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let mut issues = self.settings_issues(&channel, connection).await;
        issues.extend(validate::unlisted(&channel, connection));
        Ok(issues)
    }
}
