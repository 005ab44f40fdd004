//! The host's secrets by owner and name.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::ids::Owner;
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::RwLock;

use super::cipher::Cipher;
use super::key::MasterKey;
use super::secret::{Secret, SecretInput, VaultError};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::rows::{NewSecret, SecretRow};

/// The host's secrets, decrypted in memory at first use. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    cipher: Cipher,
    store: Store,
    clock: Clock,
    /// One lock per owner. A writer holds it until the store answers, so that memory is never ahead
    /// of the store, and owners do not wait for each other's writes.
    owners: Mutex<HashMap<Owner, Arc<RwLock<Secrets>>>>,
}

/// An owner's secrets by name; `None`: not read yet.
pub(super) type Secrets = Option<HashMap<String, Secret>>;

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    pub fn new(key: &MasterKey, store: Store, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                cipher: Cipher::new(key),
                store,
                clock,
                owners: Mutex::default(),
            }),
        }
    }

    /// Stores a secret and returns its generation. Durable when this returns. Storing an unchanged
    /// secret creates no new generation, so that everything derived from it stays valid. A stored
    /// secret that this master key cannot open is replaced. Errors: [`VaultError::TooMany`] if the
    /// owner has `max_secrets` others; otherwise if the store fails.
    pub async fn put(
        &self,
        owner: Owner,
        name: &str,
        secret: SecretInput,
    ) -> Result<i64, VaultError> {
        Ok(self.replace(owner, name, |_| secret).await?.0)
    }

    /// Stores what `make` returns for the current secret. Returns the generation, and whether it is
    /// new.
    pub(super) async fn replace(
        &self,
        owner: Owner,
        name: &str,
        make: impl FnOnce(Option<&Secret>) -> SecretInput + Send,
    ) -> Result<(i64, bool), VaultError> {
        let slot = self.slot(owner);
        let mut secrets = slot.write().await;
        match self.load(&mut secrets, owner).await {
            Ok(()) | Err(VaultError::Unreadable { .. }) => {}
            Err(other) => return Err(other),
        }
        let current = secrets.as_ref().and_then(|known| known.get(name));
        let input = make(current);
        if let Some(current) = current.filter(|current| input.equals(current)) {
            return Ok((current.generation, false));
        }
        let count = secrets.as_ref().map_or(0, HashMap::len);
        if current.is_none()
            && let Some(most) = input.max_secrets.filter(|most| count >= *most)
        {
            return Err(VaultError::TooMany { most });
        }
        let sealed = self.inner.cipher.seal(
            &secret_context(owner, name),
            input.value.expose_secret().as_bytes(),
        )?;
        let row = NewSecret {
            ciphertext: sealed,
            bound_hosts: input.bound_hosts.clone(),
            expires_at: input.expires_at,
            origin: input.origin.clone(),
        };
        let generation = self
            .inner
            .store
            .put_secret(&owner.to_string(), name, row)
            .await?;
        // If another secret of the owner is unreadable, nothing is cached: all are read again at
        // the next use, when the other one may be replaced, too.
        if let Some(known) = &mut *secrets {
            let secret = Secret {
                value: input.value,
                generation,
                bound_hosts: input.bound_hosts,
                expires_at: input.expires_at,
                origin: input.origin,
            };
            known.insert(name.to_owned(), secret);
        }
        Ok((generation, true))
    }

    /// The values of an owner's secrets.
    pub async fn values(&self, owner: Owner) -> Result<Vec<SecretString>, VaultError> {
        if let Some(values) = self.values_in_memory(owner) {
            return Ok(values);
        }
        let slot = self.slot(owner);
        let mut secrets = slot.write().await;
        self.load(&mut secrets, owner).await?;
        Ok(values_of(secrets.as_ref()).unwrap_or_default())
    }

    /// The same without waiting; `None` if they are not in memory or are being changed.
    pub fn values_in_memory(&self, owner: Owner) -> Option<Vec<SecretString>> {
        let slot = self.slot(owner);
        let secrets = slot.try_read().ok()?;
        values_of(secrets.as_ref())
    }

    /// The secret of that name, even an expired one: see [`Secret::is_expired`].
    pub async fn get(&self, owner: Owner, name: &str) -> Result<Option<Secret>, VaultError> {
        let slot = self.slot(owner);
        if let Some(known) = &*slot.read().await {
            return Ok(known.get(name).cloned());
        }
        let mut secrets = slot.write().await;
        self.load(&mut secrets, owner).await?;
        Ok(secrets.as_ref().and_then(|known| known.get(name)).cloned())
    }

    /// Removes a secret if it is still this generation; `None`: any generation.
    pub async fn drop(
        &self,
        owner: Owner,
        name: &str,
        generation: Option<i64>,
    ) -> Result<(), VaultError> {
        let slot = self.slot(owner);
        let mut secrets = slot.write().await;
        self.inner
            .store
            .drop_secret(&owner.to_string(), name, generation)
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

    /// 32 hexadecimal digits that identify one generation of one secret: the same after a restart,
    /// and unguessable without the master key.
    pub fn tag(&self, owner: Owner, name: &str, generation: i64) -> String {
        self.mac(&format!("{owner}\0{name}\0{generation}"))
    }

    /// 32 hexadecimal digits of a MAC under a key derived from the master key.
    pub(super) fn mac(&self, text: &str) -> String {
        self.inner.cipher.tag(text)
    }

    /// Seals bytes that are not a named secret, such as a session. [`Self::open_bytes`] needs the
    /// same `context`.
    pub fn seal_bytes(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.inner.cipher.seal(&format!("bytes\0{context}"), plain)
    }

    /// Opens bytes that [`Self::seal_bytes`] sealed. Errors: [`VaultError::Tampered`] if the bytes
    /// or the context differ.
    pub fn open_bytes(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.inner
            .cipher
            .open(&format!("bytes\0{context}"), sealed)
            .ok_or(VaultError::Tampered)
    }

    pub(super) fn slot(&self, owner: Owner) -> Arc<RwLock<Secrets>> {
        Arc::clone(self.inner.owners.lock().entry(owner).or_default())
    }

    /// Reads an owner's secrets into memory once.
    async fn load(&self, known: &mut Secrets, owner: Owner) -> Result<(), VaultError> {
        if known.is_some() {
            return Ok(());
        }
        let now = self.inner.clock.wall();
        let mut secrets = HashMap::new();
        for row in self.inner.store.secrets(&owner.to_string()).await? {
            let expires_at = row.expires_at;
            match self.open(owner, row) {
                Ok((name, secret)) => {
                    secrets.insert(name, secret);
                }
                // An expired token is fetched anew anyway and must not block the other secrets.
                Err(_) if expires_at.is_some_and(|at| at <= now) => {}
                Err(error) => return Err(error),
            }
        }
        *known = Some(secrets);
        Ok(())
    }

    fn open(&self, owner: Owner, row: SecretRow) -> Result<(String, Secret), VaultError> {
        let context = secret_context(owner, &row.name);
        let plain = self.inner.cipher.open(&context, &row.ciphertext);
        let Some(plain) = plain.and_then(|p| String::from_utf8(p).ok()) else {
            return Err(VaultError::Unreadable {
                owner,
                name: row.name,
            });
        };
        let secret = Secret {
            value: SecretString::from(plain),
            generation: row.generation,
            bound_hosts: row.bound_hosts,
            expires_at: row.expires_at,
            origin: row.origin,
        };
        Ok((row.name, secret))
    }
}

fn values_of(secrets: Option<&HashMap<String, Secret>>) -> Option<Vec<SecretString>> {
    Some(
        secrets?
            .values()
            .map(|secret| secret.value.clone())
            .collect(),
    )
}

fn secret_context(owner: Owner, name: &str) -> String {
    format!("secret\0{owner}\0{name}")
}
