//! Why a change of the configuration failed.

use crate::documents::validate::Issue;
use crate::store::StoreError;
use crate::store::documents::DocumentError;
use crate::vault::VaultError;

#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    #[error("{}", issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid { issues: Vec<Issue> },
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The document is written; the connection's calls wait for the secret.
    #[error("the secret was not stored: {0}")]
    Secret(#[from] VaultError),
}

impl ConfigurationError {
    /// The same error, with pointers that begin at the set of documents.
    pub(super) fn under(self, pointer: &str) -> Self {
        match self {
            Self::Invalid { issues } => Self::Invalid {
                issues: issues
                    .into_iter()
                    .map(|issue| issue.under(pointer))
                    .collect(),
            },
            other => other,
        }
    }
}

impl From<StoreError> for ConfigurationError {
    fn from(error: StoreError) -> Self {
        Self::Document(error.into())
    }
}
