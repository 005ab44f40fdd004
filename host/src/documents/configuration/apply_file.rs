//! Applies the configuration file at start, and removes the documents that vanished from it.

use std::collections::BTreeSet;

use super::{Configuration, ConfigurationError, Document};
use crate::documents::model::Documents;
use crate::documents::validate;
use crate::store::documents::{DocumentError, DocumentKind, DocumentName, ManagedBy};

/// The result of applying a file.
#[derive(Debug, Default)]
pub struct Applied {
    pub put: usize,
    /// Documents that vanished from the file.
    pub removed: Vec<DocumentName>,
    /// Documents that vanished from the file but are still needed, with the reason. They stay in
    /// force.
    pub kept: Vec<(DocumentName, String)>,
}

impl Documents {
    /// All documents with their pointers, in an order in which none refers to a later one.
    pub(crate) fn in_order(self) -> Vec<(String, Document)> {
        fn placed<T>(
            kind: &'static str,
            documents: Vec<T>,
            wrap: fn(T) -> Document,
        ) -> impl Iterator<Item = (String, Document)> {
            documents
                .into_iter()
                .enumerate()
                .map(move |(index, document)| (format!("/{kind}/{index}"), wrap(document)))
        }
        placed("subscriptions", self.subscriptions, Document::Subscription)
            .chain(placed("sources", self.sources, Document::Source))
            .chain(placed("channels", self.channels, Document::Channel))
            .chain(placed(
                "connections",
                self.connections,
                Document::Connection,
            ))
            .collect()
    }
}

impl Configuration {
    /// Writes a file's documents as `managed_by: file`. The file takes over a document that the API
    /// managed. Errors: [`ConfigurationError::Invalid`] with all problems, unreadable secrets
    /// included, before anything is written; otherwise the error of the store or the vault.
    pub async fn apply_file(&self, documents: Documents) -> Result<Applied, ConfigurationError> {
        let mut issues = validate::complete_set(&documents);
        let documents = documents.in_order();
        issues.extend(documents.iter().flat_map(|(pointer, document)| {
            self.unreadable(document)
                .into_iter()
                .map(|issue| issue.under(pointer))
        }));
        if !issues.is_empty() {
            return Err(ConfigurationError::Invalid { issues });
        }
        let _one_at_a_time = self.change.lock().await;
        let applied = self.apply(documents).await;
        self.publish().await?;
        applied
    }

    async fn apply(
        &self,
        documents: Vec<(String, Document)>,
    ) -> Result<Applied, ConfigurationError> {
        let mut applied = Applied::default();
        let mut named = BTreeSet::new();
        for (pointer, document) in documents {
            named.insert(document.name());
            self.write(document, ManagedBy::File, None)
                .await
                .map_err(|error| error.under(&pointer))?;
            applied.put += 1;
        }
        for kind in [
            DocumentKind::Connection,
            DocumentKind::Channel,
            DocumentKind::Source,
            DocumentKind::Subscription,
        ] {
            for stored in self.store.documents(kind).await? {
                if stored.managed_by == ManagedBy::File && !named.contains(&stored.name) {
                    self.retire(stored.name, &mut applied).await?;
                }
            }
        }
        Ok(applied)
    }

    async fn retire(
        &self,
        name: DocumentName,
        applied: &mut Applied,
    ) -> Result<(), ConfigurationError> {
        match self.remove(&name, ManagedBy::File, None).await {
            Ok(()) => {
                tracing::info!(document = %name, "document removed: no longer in the file");
                applied.removed.push(name);
            }
            Err(ConfigurationError::Document(DocumentError::InUse(reason))) => {
                tracing::warn!(
                    document = %name,
                    reason,
                    "document kept although no longer in the file"
                );
                applied.kept.push((name, reason));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
