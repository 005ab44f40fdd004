//! API keys, as hashes.

use egression_core::domain::ids::SubscriptionId;
use egression_core::time::Wall;

use crate::store::engine::sqlite::{self, Row};
use crate::store::{Store, StoreError};

/// An API key without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub id: String,
    pub role: String,
    /// The only subscription that it may use; none: all.
    pub subscription: Option<SubscriptionId>,
    pub label: Option<String>,
    pub created_at: Wall,
}

/// The columns of [`key_row`].
macro_rules! live_keys {
    () => {
        "SELECT public_id, role, subscription_id, label, created_at FROM api_key WHERE revoked_at \
         IS NULL"
    };
}

impl Store {
    /// Stores a key by its SHA-256.
    pub async fn put_key(&self, key: KeyRow, hash: [u8; 32]) -> Result<(), StoreError> {
        let insert = sqlite::query(
            "INSERT INTO api_key (public_id, hash, role, subscription_id, label, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(key.id)
        .bind(hash.as_slice())
        .bind(key.role)
        .bind(key.subscription.map(|subscription| subscription.0))
        .bind(key.label)
        .bind(key.created_at.0);
        self.execute(insert).await?;
        Ok(())
    }

    /// The key of a hash, unless revoked.
    pub async fn key(&self, hash: [u8; 32]) -> Result<Option<KeyRow>, StoreError> {
        let select = sqlite::query(concat!(live_keys!(), " AND hash = ?1"));
        self.one(select.bind(hash.as_slice()), key_row).await
    }

    /// All keys that are not revoked.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, StoreError> {
        let select = sqlite::query(concat!(live_keys!(), " ORDER BY id"));
        self.all(select, key_row).await
    }

    /// Revokes a key; false if there is none. With `within`, only a key of this subscription: one
    /// of another subscription is not found, by the same statement as one that does not exist.
    pub async fn revoke_key(
        &self,
        id: &str,
        within: Option<SubscriptionId>,
        now: Wall,
    ) -> Result<bool, StoreError> {
        let revoke = sqlite::query(
            "UPDATE api_key SET revoked_at = ?1 WHERE public_id = ?2 AND revoked_at IS NULL AND \
             (?3 IS NULL OR subscription_id = ?3)",
        );
        let within = within.map(|subscription| subscription.0);
        let revoke = revoke.bind(now.0).bind(id).bind(within);
        Ok(self.execute(revoke).await? == 1)
    }
}

fn key_row(row: &Row) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: row.try_get("public_id")?,
        role: row.try_get("role")?,
        subscription: row
            .try_get::<Option<i64>>("subscription_id")?
            .map(SubscriptionId),
        label: row.try_get("label")?,
        created_at: Wall(row.try_get("created_at")?),
    })
}
