//! The first admin key. The host creates it if there is none and writes it to a 0600 file in the
//! data directory, where the command line on the same machine finds it.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::keys;
use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::{self, Role};
use crate::clock::Clock;
use crate::store::Store;

/// The file in the data directory.
pub const FILE: &str = "admin.key";

/// Creates an admin key for all subscriptions and writes it to the file, unless such a key exists.
/// Returns the file if it was written. Errors: the store fails, or the file cannot be written; then
/// the key is not stored either.
pub async fn ensure(
    store: &Store,
    clock: &Clock,
    data_dir: &Path,
) -> Result<Option<PathBuf>, ApiError> {
    let is_operator = |row: &crate::store::api_keys::KeyRow| {
        row.role == Role::Admin.into_str() && row.subscription.is_none()
    };
    if store.keys().await?.iter().any(is_operator) {
        return Ok(None);
    }
    let key = auth::new_key()?;
    let path = data_dir.join(FILE);
    write(&path, &key.text)
        .map_err(|error| ApiError::Internal(format!("{}: {error}", path.display())))?;
    let row = keys::new_row(
        clock.wall(),
        Role::Admin,
        None,
        Some("created at the first start".to_owned()),
    );
    store.put_key(row, key.hash).await?;
    Ok(Some(path))
}

fn write(path: &Path, key: &SecretString) -> std::io::Result<()> {
    // Replaces the file of an earlier database, so that the mode is right.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", key.expose_secret())?;
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn first_key_is_created_once_with_mode_0600() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let store = Store::open(dir.path(), clock.clone()).await.unwrap();
        let path = ensure(&store, &clock, dir.path()).await.unwrap().unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(store.key(auth::hash(text.trim())).await.unwrap().is_some());
        assert_eq!(ensure(&store, &clock, dir.path()).await.unwrap(), None);
    }
}
