//! Secrets at rest: sealed with ChaCha20-Poly1305 (RFC 8439) under the host's master key before the
//! store sees them.
//!
//! Promises: a secret's text lies in the store as ciphertext only, bound to its owner and name, so
//! that a row moved to another owner does not open; every change is a new generation;
//! [`Vault::tag`] gives a text that names one generation and cannot be guessed. Who may use a
//! secret, and towards which host, is the gate's decision.

mod cipher;
mod entered;
mod facts;
mod key;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use egression_core::time::Wall;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::RwLock;

pub use facts::SecretFacts;
pub use key::{KeyError, MasterKey};

use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::rows::{NewSecret, SecretRow};
use cipher::Cipher;

#[derive(Clone, Debug)]
pub struct Secret {
    pub value: SecretString,
    /// Which one of its name, ascending.
    pub generation: i64,
    /// The hosts that it was entered for: `shop.example`, `https://*.shop.example:8443`.
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// What it comes from, as a digest: the value that was entered, or what a token was fetched
    /// with.
    pub origin: Option<String>,
}

/// A secret on its way in.
pub(super) struct Fresh {
    pub(super) value: SecretString,
    pub(super) bound_hosts: Vec<String>,
    pub(super) expires_at: Option<Wall>,
    pub(super) origin: Option<String>,
}

impl Fresh {
    fn is(&self, kept: &Secret) -> bool {
        kept.value.expose_secret() == self.value.expose_secret()
            && kept.bound_hosts == self.bound_hosts
            && kept.expires_at == self.expires_at
            && kept.origin == self.origin
    }
}

impl Secret {
    /// It is past its time.
    #[must_use]
    pub fn is_expired(&self, now: Wall) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Why a secret cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ciphertext was changed, or was sealed under another master key or for another owner.
    #[error("the secret `{name}` of {owner} cannot be opened with this master key; enter it again")]
    Unreadable { owner: String, name: String },
    /// Bytes other than a secret cannot be opened.
    #[error("sealed bytes cannot be opened with this master key")]
    Tampered,
    /// The owner has as many secrets as it may have.
    #[error("there are {most} secrets already; raise `gate.max_secrets_per_connection`")]
    Many {
        /// How many it may have.
        most: usize,
    },
    /// The system gives no randomness, or the text is longer than the cipher takes.
    #[error("sealing failed")]
    Seal,
}

/// The host's secrets, decrypted in memory once used. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    cipher: Cipher,
    facts: Box<dyn SecretFacts>,
    clock: Clock,
    /// A lock for each owner: whoever writes holds it over the store's answer, so that memory never
    /// runs ahead of it, and nobody waits for what another owner writes.
    owners: Mutex<HashMap<String, Arc<RwLock<Secrets>>>>,
}

/// An owner's secrets by name; none: not read yet.
type Secrets = Option<HashMap<String, Secret>>;

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// A vault over the store's rows.
    #[must_use]
    pub fn new(key: &MasterKey, facts: impl SecretFacts + 'static, clock: Clock) -> Self {
        let inner = Inner {
            cipher: Cipher::new(key),
            facts: Box::new(facts),
            clock,
            owners: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Keeps a secret and returns its generation. Durable when this returns. `owner`:
    /// `connection:7`, `source:3`. What is kept already, with the same hosts and expiry, is no new
    /// generation: what was made with it stays good. What is kept and cannot be opened, because the
    /// master key is another one, is replaced.
    pub async fn put(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: Vec<String>,
        expires_at: Option<Wall>,
    ) -> Result<i64, VaultError> {
        self.put_within(owner, name, value, bound_hosts, expires_at, usize::MAX)
            .await
    }

    /// The same, where the owner may have `most` secrets.
    ///
    /// # Errors
    /// [`VaultError::Many`] for one more than those; as [`Self::put`].
    pub async fn put_within(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: Vec<String>,
        expires_at: Option<Wall>,
        most: usize,
    ) -> Result<i64, VaultError> {
        let fresh = Fresh {
            value,
            bound_hosts,
            expires_at,
            origin: None,
        };
        Ok(self.replace(owner, name, most, |_| fresh).await?.0)
    }

    /// As [`Self::put`], for what comes from something that is known by a digest.
    pub async fn put_from(
        &self,
        owner: &str,
        name: &str,
        value: SecretString,
        bound_hosts: Vec<String>,
        expires_at: Option<Wall>,
        origin: Option<String>,
    ) -> Result<i64, VaultError> {
        let fresh = Fresh {
            value,
            bound_hosts,
            expires_at,
            origin,
        };
        Ok(self.replace(owner, name, usize::MAX, |_| fresh).await?.0)
    }

    /// Keeps what is made of the one that is kept; its generation, and whether that is a new one.
    async fn replace(
        &self,
        owner: &str,
        name: &str,
        most: usize,
        make: impl FnOnce(Option<&Secret>) -> Fresh + Send,
    ) -> Result<(i64, bool), VaultError> {
        let slot = self.slot(owner);
        let mut secrets = slot.write().await;
        match self.load(&mut secrets, owner).await {
            Ok(()) | Err(VaultError::Unreadable { .. }) => {}
            Err(other) => return Err(other),
        }
        let kept = secrets.as_ref().and_then(|known| known.get(name));
        let fresh = make(kept);
        if let Some(kept) = kept.filter(|kept| fresh.is(kept)) {
            return Ok((kept.generation, false));
        }
        if kept.is_none() && secrets.as_ref().is_some_and(|known| known.len() >= most) {
            return Err(VaultError::Many { most });
        }
        let Fresh {
            value,
            bound_hosts,
            expires_at,
            origin,
        } = fresh;
        let sealed = self.inner.cipher.seal(
            &secret_context(owner, name),
            value.expose_secret().as_bytes(),
        )?;
        let row = NewSecret {
            ciphertext: sealed,
            bound_hosts: bound_hosts.clone(),
            expires_at,
            origin: origin.clone(),
        };
        let generation = self.inner.facts.put_secret(owner, name, row).await?;
        // An owner of whom something cannot be read is read anew when asked for: the rest may be
        // replaced as well by then.
        if let Some(known) = &mut *secrets {
            known.insert(
                name.to_owned(),
                Secret {
                    value,
                    generation,
                    bound_hosts,
                    expires_at,
                    origin,
                },
            );
        }
        Ok((generation, true))
    }

    /// The values of an owner's secrets.
    pub async fn values(&self, owner: &str) -> Result<Vec<SecretString>, VaultError> {
        if let Some(values) = self.values_in_memory(owner) {
            return Ok(values);
        }
        let slot = self.slot(owner);
        let mut secrets = slot.write().await;
        self.load(&mut secrets, owner).await?;
        Ok(secrets
            .iter()
            .flat_map(HashMap::values)
            .map(|secret| secret.value.clone())
            .collect())
    }

    /// The same without waiting; none if they are not in memory, or are being changed.
    #[must_use]
    pub fn values_in_memory(&self, owner: &str) -> Option<Vec<SecretString>> {
        let slot = self.slot(owner);
        let secrets = slot.try_read().ok()?;
        Some(
            secrets
                .as_ref()?
                .values()
                .map(|secret| secret.value.clone())
                .collect(),
        )
    }

    /// A secret; none if the owner has none of that name. An expired one is given too: see
    /// [`Secret::is_expired`].
    pub async fn get(&self, owner: &str, name: &str) -> Result<Option<Secret>, VaultError> {
        let slot = self.slot(owner);
        if let Some(known) = &*slot.read().await {
            return Ok(known.get(name).cloned());
        }
        let mut secrets = slot.write().await;
        self.load(&mut secrets, owner).await?;
        Ok(secrets.as_ref().and_then(|known| known.get(name)).cloned())
    }

    /// Forgets a secret if it is still this generation (any if none).
    pub async fn drop(
        &self,
        owner: &str,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), VaultError> {
        let slot = self.slot(owner);
        let mut secrets = slot.write().await;
        self.inner
            .facts
            .drop_secret(owner, name, generation)
            .await?;
        if let Some(known) = &mut *secrets
            && known
                .get(name)
                .is_some_and(|s| generation.is_none_or(|g| g == s.generation))
        {
            known.remove(name);
        }
        Ok(())
    }

    /// 32 hexadecimal digits that stand for one generation of one secret, the same after a restart,
    /// and not to be guessed without the master key.
    #[must_use]
    pub fn tag(&self, owner: &str, name: &str, generation: i64) -> String {
        self.inner
            .cipher
            .tag(&format!("{owner}\0{name}\0{generation}"))
    }

    /// Seals bytes that are no secret of a name, such as a session. `context` must be the same when
    /// they are opened.
    pub fn seal_bytes(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.inner.cipher.seal(&format!("bytes\0{context}"), plain)
    }

    /// Opens what [`Self::seal_bytes`] made.
    ///
    /// # Errors
    /// [`VaultError::Tampered`] if the bytes or the context are not the same.
    pub fn open_bytes(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.inner
            .cipher
            .open(&format!("bytes\0{context}"), sealed)
            .ok_or(VaultError::Tampered)
    }

    fn slot(&self, owner: &str) -> Arc<RwLock<Secrets>> {
        let mut owners = self
            .inner
            .owners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(owners.entry(owner.to_owned()).or_default())
    }

    /// Reads an owner's secrets into memory if they are not there.
    async fn load(&self, known: &mut Secrets, owner: &str) -> Result<(), VaultError> {
        if known.is_some() {
            return Ok(());
        }
        let now = self.inner.clock.wall();
        let mut secrets = HashMap::new();
        for row in self.inner.facts.secrets(owner).await? {
            let SecretRow {
                name,
                generation,
                ciphertext: sealed,
                bound_hosts,
                expires_at,
                origin,
            } = row;
            let plain = self
                .inner
                .cipher
                .open(&secret_context(owner, &name), &sealed)
                .and_then(|p| String::from_utf8(p).ok());
            let Some(plain) = plain else {
                // A token that would be fetched anew anyway must not stand in the way of the rest.
                if expires_at.is_some_and(|at| at <= now) {
                    continue;
                }
                return Err(VaultError::Unreadable {
                    owner: owner.to_owned(),
                    name,
                });
            };
            secrets.insert(
                name,
                Secret {
                    value: SecretString::from(plain),
                    generation,
                    bound_hosts,
                    expires_at,
                    origin,
                },
            );
        }
        *known = Some(secrets);
        Ok(())
    }
}

fn secret_context(owner: &str, name: &str) -> String {
    format!("secret\0{owner}\0{name}")
}
