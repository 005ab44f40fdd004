//! API keys, as hashes.

use egression_core::domain::ids::SubscriptionId;
use egression_core::time::Wall;
use super::{Store, StoreError};

/// An API key without the key.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its public id.
    pub id: String,
    /// `admin`, `submit` or `read`.
    pub role: String,
    /// Bound to this subscription; none: all.
    pub subscription: Option<SubscriptionId>,
    /// For people.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Wall,
}

impl Store {
    /// Keeps a key by its SHA-256.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_key(&self, key: KeyRow, hash: [u8; 32]) -> Result<(), StoreError> {
        let _ = (key, hash);
        todo!()
    }

    /// The key of a hash, unless revoked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn key(&self, hash: [u8; 32]) -> Result<Option<KeyRow>, StoreError> {
        let _ = (hash,);
        todo!()
    }

    /// All keys that are not revoked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        todo!()
    }

    /// Revokes a key; false if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revoke_key(&self, id: &str, now: Wall) -> Result<bool, StoreError> {
        let _ = (id, now);
        todo!()
    }
}
