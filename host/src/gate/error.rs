//! Why the gate does not open.

use std::path::PathBuf;

use crate::store::StoreError;

/// What keeps the gate shut at the host's start.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// Closed limits and used windows cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The additional authorities cannot be read, or are no certificates.
    #[error("`gate.extra_ca_file` ({}): {reason}", path.display())]
    Authorities {
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
