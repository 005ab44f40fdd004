//! The configuration file at start: its documents are put in force, and those that vanished from it
//! are removed.

use std::collections::BTreeSet;

use super::{Configuration, ConfigurationError, Document};
use crate::documents::model::Documents;
use crate::documents::validate::{self, Issue};
use crate::store::documents::{DocumentError, DocumentKind, DocumentName, ManagedBy};

/// What became of a file's documents.
#[derive(Debug, Default)]
pub struct Applied {
    pub put: usize,
    /// Vanished from the file, and removed.
    pub removed: Vec<DocumentName>,
    /// Vanished from the file, but still needed, with the reason. They stay in force.
    pub kept: Vec<(DocumentName, String)>,
}

impl Documents {
    /// All documents in an order in which none names a later one, with their pointers.
    fn in_order(self) -> Vec<(String, Document)> {
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
    /// Puts a file's documents in force as `managed_by: file`. A document that was managed by the
    /// API is taken over.
    ///
    /// # Errors
    /// [`ConfigurationError::Invalid`] with all that is wrong with the set, secrets that cannot be
    /// read included, before anything is written; else what the store or the vault says.
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
            for stored in self.shelf.documents(kind).await? {
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
                tracing::info!(document = %Shown(&name), "removed: no longer in the configuration file");
                applied.removed.push(name);
            }
            Err(ConfigurationError::Document(DocumentError::InUse(reason))) => {
                tracing::warn!(document = %Shown(&name), reason, "kept although no longer in the configuration file");
                applied.kept.push((name, reason));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl ConfigurationError {
    /// The same seen from the set that the document is in.
    pub(super) fn under(self, pointer: &str) -> Self {
        match self {
            Self::Invalid { issues } => Self::Invalid {
                issues: issues
                    .into_iter()
                    .map(|issue: Issue| issue.under(pointer))
                    .collect(),
            },
            other => other,
        }
    }
}

/// A document's name for people.
struct Shown<'a>(&'a DocumentName);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            DocumentName::Subscription(name) => write!(f, "subscription {name}"),
            DocumentName::Source(name) => write!(f, "source {name}"),
            DocumentName::Channel(name) => write!(f, "channel {name}"),
            DocumentName::Connection {
                channel,
                subscription,
            } => write!(f, "connection of {subscription} into {channel}"),
        }
    }
}
