//! Where the values of secrets go: the vault's side that configuration needs, and nothing that
//! could read a secret.

use async_trait::async_trait;
use secrecy::SecretString;

/// A secret was not kept, or nothing can be said about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SecretSinkError(pub String);

/// Keeps secrets by owner (`connection:7`, `source:3`) and name.
#[async_trait]
pub trait SecretSink: Send + Sync {
    /// Keeps a value for these hosts (origins, `https://shop.example:8443`), durable when this
    /// returns. The value that was entered before is no new generation: tokens that were made with
    /// it stay good, and what a connector renewed stays in its place. Answers whether something
    /// changed.
    ///
    /// # Errors
    /// It was not kept.
    async fn put(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: &[String],
    ) -> Result<bool, SecretSinkError>;

    /// The hosts that the value was entered for; none if there is no value.
    ///
    /// # Errors
    /// Nothing can be said.
    async fn bound_hosts(
        &self,
        owner: &str,
        name: &str,
    ) -> Result<Option<Vec<String>>, SecretSinkError>;

    /// Forgets a value. It is no error if there is none.
    ///
    /// # Errors
    /// It may still be there.
    async fn forget(&self, owner: &str, name: &str) -> Result<(), SecretSinkError>;
}
