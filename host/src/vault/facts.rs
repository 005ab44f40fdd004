//! What the vault asks of the store. The store implements it; tests use one in memory.

use async_trait::async_trait;
use egression_core::time::Wall;

use crate::store::{Store, StoreError};

/// A row: (name, generation, ciphertext, bound hosts, expiry).
pub type SecretRow = (String, i64, Vec<u8>, Vec<String>, Option<Wall>);

/// Rows of encrypted secrets.
#[async_trait]
pub trait SecretFacts: Send + Sync {
    /// Keeps a secret as a new generation, which is returned.
    ///
    /// # Errors
    /// What the database says.
    async fn put_secret(
        &self,
        owner: &str,
        name: &str,
        ciphertext: Vec<u8>,
        bound_hosts: &[String],
        expires_at: Option<Wall>,
    ) -> Result<i64, StoreError>;

    /// The secrets of an owner.
    ///
    /// # Errors
    /// What the database says.
    async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError>;

    /// Forgets a secret if it is still this generation (any if none).
    ///
    /// # Errors
    /// What the database says.
    async fn drop_secret(&self, owner: &str, name: &str, generation: Option<i64>) -> Result<(), StoreError>;
}

#[async_trait]
impl SecretFacts for Store {
    async fn put_secret(
        &self,
        owner: &str,
        name: &str,
        ciphertext: Vec<u8>,
        bound_hosts: &[String],
        expires_at: Option<Wall>,
    ) -> Result<i64, StoreError> {
        Self::put_secret(self, owner, name, ciphertext, bound_hosts, expires_at).await
    }

    async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError> {
        Self::secrets(self, owner).await
    }

    async fn drop_secret(&self, owner: &str, name: &str, generation: Option<i64>) -> Result<(), StoreError> {
        Self::drop_secret(self, owner, name, generation).await
    }
}
