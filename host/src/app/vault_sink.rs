//! The vault as configuration sees it.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::config::secrets::{SecretSink, SecretSinkError};
use crate::vault::Vault;

/// Puts the secrets of documents into the vault.
pub(super) struct VaultSink(pub(super) Vault);

#[async_trait]
impl SecretSink for VaultSink {
    async fn put(&self, owner: &str, name: &str, value: SecretString, bound_hosts: &[String]) -> Result<(), SecretSinkError> {
        let kept = self.0.get(owner, name).await.map_err(refused)?;
        // The same value for the same hosts is no new generation: tokens made with it stay good over a restart.
        if kept.is_some_and(|secret| secret.value.expose_secret() == value.expose_secret() && secret.bound_hosts == bound_hosts) {
            return Ok(());
        }
        self.0.put(owner, name, value, bound_hosts.to_vec(), None).await.map(|_| ()).map_err(refused)
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
