//! The vault as configuration sees it.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::config::secrets::{SecretSink, SecretSinkError};
use crate::vault::{Vault, VaultError};

/// Puts the secrets of documents into the vault.
pub(super) struct VaultSink(pub(super) Vault);

#[async_trait]
impl SecretSink for VaultSink {
    async fn put(&self, owner: &str, name: &str, value: SecretString, bound_hosts: &[String]) -> Result<bool, SecretSinkError> {
        // What cannot be opened, because the master key is another one, is replaced.
        let kept = match self.0.get(owner, name).await {
            Ok(kept) => kept.map(|secret| secret.generation),
            Err(VaultError::Unreadable { .. }) => None,
            Err(error) => return Err(refused(error)),
        };
        // The same value for the same hosts is no new generation: tokens made with it stay good over a restart.
        let generation = self.0.put(owner, name, value, bound_hosts.to_vec(), None).await.map_err(refused)?;
        Ok(kept != Some(generation))
    }

    async fn bound_hosts(&self, owner: &str, name: &str) -> Result<Option<Vec<String>>, SecretSinkError> {
        Ok(self.0.get(owner, name).await.map_err(refused)?.map(|secret| secret.bound_hosts))
    }

    async fn forget(&self, owner: &str, name: &str) -> Result<(), SecretSinkError> {
        self.0.drop(owner, name, None).await.map_err(refused)
    }
}

fn refused(error: impl std::fmt::Display) -> SecretSinkError {
    SecretSinkError(error.to_string())
}
