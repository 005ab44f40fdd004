//! A secret as the vault takes it and gives it.

use egression_core::domain::ids::Owner;
use egression_core::time::Wall;
use secrecy::{ExposeSecret as _, SecretString};

use crate::store::StoreError;

#[derive(Clone, Debug)]
pub struct Secret {
    pub value: SecretString,
    /// Ascending per name.
    pub generation: i64,
    /// The hosts it was entered for: `shop.example`, `https://*.shop.example:8443`.
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// A digest of what it comes from: the value that was entered, or what a token was fetched
    /// with.
    pub origin: Option<String>,
}

impl Secret {
    pub fn is_expired(&self, now: Wall) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// A secret to store.
#[derive(Debug)]
pub struct SecretInput {
    pub value: SecretString,
    /// As in [`Secret`].
    pub bound_hosts: Vec<String>,
    pub expires_at: Option<Wall>,
    /// As in [`Secret`].
    pub origin: Option<String>,
    /// The most secrets that the owner may have; `None`: no bound.
    pub max_secrets: Option<usize>,
}

impl SecretInput {
    /// A secret that does not expire.
    pub const fn new(value: SecretString, bound_hosts: Vec<String>) -> Self {
        Self {
            value,
            bound_hosts,
            expires_at: None,
            origin: None,
            max_secrets: None,
        }
    }

    /// Whether storing it would change nothing.
    pub(super) fn equals(&self, stored: &Secret) -> bool {
        stored.value.expose_secret() == self.value.expose_secret()
            && stored.bound_hosts == self.bound_hosts
            && stored.expires_at == self.expires_at
            && stored.origin == self.origin
    }
}

/// Why a secret cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ciphertext was changed, or was sealed under another master key or for another owner.
    #[error("the secret `{name}` of {owner} cannot be opened with this master key; enter it again")]
    Unreadable { owner: Owner, name: String },
    /// Sealed bytes that are not a secret cannot be opened.
    #[error("sealed bytes cannot be opened with this master key")]
    Tampered,
    /// The owner has as many secrets as allowed.
    #[error("the owner already has {most} secrets; raise `gate.max_secrets_per_connection`")]
    TooMany { most: usize },
    /// The system has no randomness, or the text is longer than the cipher allows.
    #[error("sealing failed")]
    Seal,
}
