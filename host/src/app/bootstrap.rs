//! The first start: an admin key for the person on the same machine.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use secrecy::ExposeSecret;

use crate::api::auth::{Role, new_key};
use crate::api::keys::new_row;
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// The file in the data directory that holds the first admin key.
pub(super) const ADMIN_KEY_FILE: &str = "admin.key";

/// Makes an admin key if there is none, and writes it to a file that only its owner can read.
///
/// # Errors
/// When the store or the file cannot be written.
pub(super) async fn admin_key(store: &Store, clock: &Clock, data_dir: &Path) -> Result<(), BootstrapError> {
    let path = data_dir.join(ADMIN_KEY_FILE);
    if path.exists() && store.keys().await?.iter().any(|key| key.role == "admin") {
        return Ok(());
    }
    let key = new_key().map_err(|error| BootstrapError::Key(error.to_string()))?;
    let row = new_row(clock.wall(), Role::Admin, None, Some("first admin key".to_owned()));
    // The file first: a key that nobody can read is of no use, a file without its key is mended by the next start.
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{}", key.text.expose_secret())?;
    file.sync_all()?;
    store.put_key(row, key.hash).await?;
    tracing::info!(file = %path.display(), "made an admin key");
    Ok(())
}

/// The first key could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootstrapError {
    /// The store's own trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system's random source.
    #[error("no key could be made: {0}")]
    Key(String),
    /// The file's.
    #[error("{ADMIN_KEY_FILE}: {0}")]
    File(#[from] std::io::Error),
}
