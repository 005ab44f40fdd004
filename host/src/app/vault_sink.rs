//! The vault as configuration sees it.

use async_trait::async_trait;
use secrecy::SecretString;

use crate::documents::secrets::{SecretSink, SecretSinkError};
use crate::vault::Vault;

/// Puts the secrets of documents into the vault.
pub(super) struct VaultSink(pub(super) Vault);

#[async_trait]
impl SecretSink for VaultSink {
    async fn put(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: &[String],
    ) -> Result<bool, SecretSinkError> {
        self.0
            .enter(owner, name, value, bound_hosts)
            .await
            .map_err(refused)
    }

    async fn bound_hosts(
        &self,
        owner: &str,
        name: &str,
    ) -> Result<Option<Vec<String>>, SecretSinkError> {
        Ok(self
            .0
            .get(owner, name)
            .await
            .map_err(refused)?
            .map(|secret| secret.bound_hosts))
    }

    async fn forget(&self, owner: &str, name: &str) -> Result<(), SecretSinkError> {
        self.0.drop(owner, name, None).await.map_err(refused)
    }
}

fn refused(error: impl std::fmt::Display) -> SecretSinkError {
    SecretSinkError(error.to_string())
}
