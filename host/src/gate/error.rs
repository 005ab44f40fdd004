//! Errors of the gate's start.

use std::path::PathBuf;

use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Closed limits and used windows could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The additional authorities could not be read or are not certificates.
    #[error("`gate.extra_ca_file` ({}): {reason}", path.display())]
    Authorities { path: PathBuf, reason: String },
}
