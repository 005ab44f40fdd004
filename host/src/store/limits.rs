//! Limits as facts that survive a restart.

use egression_core::time::Wall;
use super::{Store, StoreError};

impl Store {
    /// Limits that are closed, with until when. Facts of the past are dropped.
    ///
    /// # Errors
    /// What the database says.
    pub async fn closed_limits(&self, now: Wall) -> Result<Vec<(String, Wall)>, StoreError> {
        let _ = (now,);
        todo!()
    }

    /// Closes a limit until then, if that is later than what is stored.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close_limit(&self, key: &str, until: Wall, reason: &str) -> Result<(), StoreError> {
        let _ = (key, until, reason);
        todo!()
    }

    /// Leases `units` of a window before they are used; durable when this returns.
    ///
    /// # Errors
    /// What the database says.
    pub async fn lease_slice(&self, key: &str, slice: i64, units: u32, at: Wall) -> Result<(), StoreError> {
        let _ = (key, slice, units, at);
        todo!()
    }

    /// Notes when a slice's last unit was used.
    ///
    /// # Errors
    /// What the database says.
    pub async fn close_slice(&self, key: &str, slice: i64, at: Wall) -> Result<(), StoreError> {
        let _ = (key, slice, at);
        todo!()
    }

    /// The slices of all windows: (key, slice, units, leased at, closed at).
    ///
    /// # Errors
    /// What the database says.
    pub async fn slices(&self) -> Result<Vec<(String, i64, u32, Wall, Option<Wall>)>, StoreError> {
        todo!()
    }

    /// Forgets slices that were closed before `before`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn drop_slices(&self, key: &str, before: Wall) -> Result<(), StoreError> {
        let _ = (key, before);
        todo!()
    }
}
