//! What the gate asks of the store. The store implements it; tests use one in memory.

use async_trait::async_trait;
use egression_core::time::Wall;

use crate::store::{Store, StoreError};

/// A slice of a window: (key, slice, units, leased at, closed at).
pub type SliceRow = (String, i64, u32, Wall, Option<Wall>);

/// Limits as facts that survive a restart.
#[async_trait]
pub trait LimitFacts: Send + Sync {
    /// Limits that are closed, with until when.
    async fn closed_limits(&self, now: Wall) -> Result<Vec<(String, Wall)>, StoreError>;

    /// Closes a limit until then, if that is later than what is stored.
    async fn close_limit(&self, key: &str, until: Wall, reason: &str) -> Result<(), StoreError>;

    /// Leases units of a window before they are used; durable when this returns.
    async fn lease_slice(
        &self,
        key: &str,
        slice: i64,
        units: u32,
        at: Wall,
    ) -> Result<(), StoreError>;

    /// Notes when a slice's last unit was used.
    async fn close_slice(&self, key: &str, slice: i64, at: Wall) -> Result<(), StoreError>;

    /// The slices of all windows.
    async fn slices(&self) -> Result<Vec<SliceRow>, StoreError>;

    /// Forgets slices that were closed before `before`.
    async fn drop_slices(&self, key: &str, before: Wall) -> Result<(), StoreError>;
}

#[async_trait]
impl LimitFacts for Store {
    async fn closed_limits(&self, now: Wall) -> Result<Vec<(String, Wall)>, StoreError> {
        Self::closed_limits(self, now).await
    }

    async fn close_limit(&self, key: &str, until: Wall, reason: &str) -> Result<(), StoreError> {
        Self::close_limit(self, key, until, reason).await
    }

    async fn lease_slice(
        &self,
        key: &str,
        slice: i64,
        units: u32,
        at: Wall,
    ) -> Result<(), StoreError> {
        Self::lease_slice(self, key, slice, units, at).await
    }

    async fn close_slice(&self, key: &str, slice: i64, at: Wall) -> Result<(), StoreError> {
        Self::close_slice(self, key, slice, at).await
    }

    async fn slices(&self) -> Result<Vec<SliceRow>, StoreError> {
        Self::slices(self).await
    }

    async fn drop_slices(&self, key: &str, before: Wall) -> Result<(), StoreError> {
        Self::drop_slices(self, key, before).await
    }
}
