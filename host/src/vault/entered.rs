//! Secrets that a document enters, which a connector may renew afterwards.
//!
//! Beside each lies a digest of the value that was entered. A document that enters the same value
//! again, at every start of the host, does not put it in the place of what the connector deposited
//! since.

use egression_core::time::Wall;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Fresh, Vault, VaultError};

impl Vault {
    /// Keeps what a document enters for these hosts; true if that is a change. A value that was
    /// entered before is none, even if a connector has renewed it since.
    pub async fn enter(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: &[String],
    ) -> Result<bool, VaultError> {
        let digest = self.digest(owner, name, &value);
        let (_, changed) = self
            .replace(owner, name, usize::MAX, |kept| {
                let fresh = Fresh {
                    value,
                    bound_hosts: bound_hosts.to_vec(),
                    expires_at: None,
                    origin: Some(digest.clone()),
                };
                match kept {
                    Some(kept) if kept.origin.as_ref() == Some(&digest) => Fresh {
                        value: kept.value.clone(),
                        expires_at: kept.expires_at,
                        ..fresh
                    },
                    // Kept since before there were digests: what was made with it stays good.
                    Some(kept)
                        if kept.origin.is_none()
                            && kept.value.expose_secret() == fresh.value.expose_secret() =>
                    {
                        Fresh {
                            origin: None,
                            ..fresh
                        }
                    }
                    _ => fresh,
                }
            })
            .await?;
        Ok(changed)
    }

    /// Keeps what a connector renewed in the place of what was entered, for the hosts that that was
    /// entered for; for `hosts` if nothing is kept.
    pub async fn renew(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        expires_at: Option<Wall>,
        hosts: Vec<String>,
    ) -> Result<(), VaultError> {
        let renewed = self.replace(owner, name, usize::MAX, |kept| {
            let origin = kept.map(|kept| {
                kept.origin
                    .clone()
                    .unwrap_or_else(|| self.digest(owner, name, &kept.value))
            });
            Fresh {
                value,
                bound_hosts: kept.map_or(hosts, |kept| kept.bound_hosts.clone()),
                expires_at,
                origin,
            }
        });
        renewed.await.map(drop)
    }

    /// A text that stands for what was entered under a name, and for which hosts: the same after a
    /// restart and after the connector renewed it, another one after a person entered another
    /// value. None if there is no such secret.
    pub async fn entry(&self, owner: &str, name: &str) -> Result<Option<String>, VaultError> {
        let Some(secret) = self.get(owner, name).await? else {
            return Ok(None);
        };
        let origin = secret
            .origin
            .unwrap_or_else(|| self.digest(owner, name, &secret.value));
        Ok(Some(format!("{origin} {}", secret.bound_hosts.join(" "))))
    }

    /// Needs the master key, so that a stored one does not tell which value is right.
    fn digest(&self, owner: &str, name: &str, value: &SecretString) -> String {
        self.inner.cipher.tag(&format!(
            "entered\0{owner}\0{name}\0{}",
            value.expose_secret()
        ))
    }
}
