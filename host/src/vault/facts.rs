//! What the vault asks of the store. The store implements it; tests use one in memory.

use async_trait::async_trait;

use crate::store::rows::{NewSecret, SecretRow};
use crate::store::{Store, StoreError};

#[async_trait]
pub trait SecretFacts: Send + Sync {
    /// Keeps a secret as a new generation, which is returned.
    async fn put_secret(
        &self,
        owner: &str,
        name: &str,
        secret: NewSecret,
    ) -> Result<i64, StoreError>;

    /// The secrets of an owner.
    async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError>;

    /// Forgets a secret if it is still this generation (any if none).
    async fn drop_secret(
        &self,
        owner: &str,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), StoreError>;
}

#[async_trait]
impl SecretFacts for Store {
    async fn put_secret(
        &self,
        owner: &str,
        name: &str,
        secret: NewSecret,
    ) -> Result<i64, StoreError> {
        Self::put_secret(self, owner, name, secret).await
    }

    async fn secrets(&self, owner: &str) -> Result<Vec<SecretRow>, StoreError> {
        Self::secrets(self, owner).await
    }

    async fn drop_secret(
        &self,
        owner: &str,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), StoreError> {
        Self::drop_secret(self, owner, name, generation).await
    }
}
