//! Secrets that a document enters and that a connector may renew.
//!
//! The vault stores a digest of the entered value with each of them. A document that enters the
//! same value again, which happens at every start of the host, does not overwrite the value that
//! the connector deposited since.

use egression_core::domain::ids::Owner;
use egression_core::time::Wall;
use secrecy::{ExposeSecret as _, SecretString};

use super::secret::{SecretInput, VaultError};
use super::vault::Vault;

impl Vault {
    /// Stores a value that a document enters for these hosts. Returns whether that is a change. The
    /// value that was entered before is no change, even if a connector renewed it since.
    pub async fn enter(
        &self,
        owner: Owner,
        name: &str,
        value: SecretString,
        bound_hosts: &[String],
    ) -> Result<bool, VaultError> {
        let digest = self.digest(owner, name, &value);
        let replaced = self.replace(owner, name, |current| {
            let mut input = SecretInput::new(value, bound_hosts.to_vec());
            match current {
                Some(current) if current.origin.as_ref() == Some(&digest) => {
                    input.value = current.value.clone();
                    input.expires_at = current.expires_at;
                }
                // Stored without a digest. Everything derived from it stays valid.
                Some(current)
                    if current.origin.is_none()
                        && current.value.expose_secret() == input.value.expose_secret() =>
                {
                    return input;
                }
                _ => {}
            }
            input.origin = Some(digest);
            input
        });
        Ok(replaced.await?.1)
    }

    /// Stores a value that a connector renewed. It keeps the hosts of the entered one; `hosts`
    /// apply if there is none.
    pub async fn renew(
        &self,
        owner: Owner,
        name: &str,
        value: SecretString,
        expires_at: Option<Wall>,
        hosts: Vec<String>,
    ) -> Result<(), VaultError> {
        let renewed = self.replace(owner, name, |current| SecretInput {
            expires_at,
            origin: current.map(|current| {
                let digest = || self.digest(owner, name, &current.value);
                current.origin.clone().unwrap_or_else(digest)
            }),
            ..SecretInput::new(
                value,
                current.map_or(hosts, |current| current.bound_hosts.clone()),
            )
        });
        renewed.await.map(drop)
    }

    /// A text that identifies the value entered under a name and its hosts; `None` without such a
    /// secret. A restart or a renewal by the connector does not change it; another entered value
    /// does.
    pub async fn entry(&self, owner: Owner, name: &str) -> Result<Option<String>, VaultError> {
        let Some(secret) = self.get(owner, name).await? else {
            return Ok(None);
        };
        let digest = || self.digest(owner, name, &secret.value);
        let origin = secret.origin.clone().unwrap_or_else(digest);
        Ok(Some(format!("{origin} {}", secret.bound_hosts.join(" "))))
    }

    /// Needs the master key, so that a stored digest does not allow guesses of the value.
    fn digest(&self, owner: Owner, name: &str, value: &SecretString) -> String {
        self.mac(&format!(
            "entered\0{owner}\0{name}\0{}",
            value.expose_secret()
        ))
    }
}
