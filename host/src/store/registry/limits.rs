//! Facts about limits that survive a restart.

use egression_core::time::Wall;

use crate::store::engine::sqlite;
use crate::store::rows::columns;
use crate::store::{Store, StoreError};

impl Store {
    /// Closed limits and when they reopen. Deletes those of the past.
    pub async fn closed_limits(&self, now: Wall) -> Result<Vec<(String, Wall)>, StoreError> {
        let past = sqlite::query("DELETE FROM closed_until WHERE until <= ?1").bind(now.0);
        self.execute(past).await?;
        let closed = sqlite::query("SELECT limit_key, until FROM closed_until ORDER BY limit_key");
        self.all(closed, |row| {
            Ok((row.try_get("limit_key")?, Wall(row.try_get("until")?)))
        })
        .await
    }

    /// Closes a limit until this time, unless it is closed for longer already.
    pub async fn close_limit(
        &self,
        key: &str,
        until: Wall,
        reason: &str,
    ) -> Result<(), StoreError> {
        let close = sqlite::query(
            "INSERT INTO closed_until (limit_key, until, reason) VALUES (?1, ?2, ?3) ON CONFLICT \
             (limit_key) DO UPDATE SET until = excluded.until, reason = excluded.reason WHERE \
             excluded.until > closed_until.until",
        );
        self.execute(close.bind(key).bind(until.0).bind(reason))
            .await?;
        Ok(())
    }

    /// Reopens a limit.
    pub async fn reopen_limit(&self, key: &str) -> Result<(), StoreError> {
        let reopen = sqlite::query("DELETE FROM closed_until WHERE limit_key = ?1");
        self.execute(reopen.bind(key)).await?;
        Ok(())
    }

    /// Leases `units` of a window before they are used; durable when this returns. Errors:
    /// [`StoreError::Database`] if the slice is leased already.
    pub async fn lease_slice(
        &self,
        key: &str,
        slice: i64,
        units: u32,
        at: Wall,
    ) -> Result<(), StoreError> {
        let lease = sqlite::query(
            "INSERT INTO window_slice (limit_key, slice, units, leased_at) VALUES (?1, ?2, ?3, ?4)",
        );
        self.execute(lease.bind(key).bind(slice).bind(units).bind(at.0))
            .await?;
        Ok(())
    }

    /// Records when a slice's last unit was used.
    pub async fn close_slice(&self, key: &str, slice: i64, at: Wall) -> Result<(), StoreError> {
        let close = sqlite::query(
            "UPDATE window_slice SET closed_at = ?1 WHERE limit_key = ?2 AND slice = ?3 AND \
             closed_at IS NULL",
        );
        self.execute(close.bind(at.0).bind(key).bind(slice)).await?;
        Ok(())
    }

    /// The slices of all windows: (key, slice, units, leased at, closed at).
    pub async fn slices(&self) -> Result<Vec<(String, i64, u32, Wall, Option<Wall>)>, StoreError> {
        let slices = sqlite::query(
            "SELECT limit_key, slice, units, leased_at, closed_at FROM window_slice ORDER BY \
             limit_key, slice",
        );
        self.all(slices, |row| {
            Ok((
                row.try_get("limit_key")?,
                row.try_get("slice")?,
                row.try_get("units")?,
                Wall(row.try_get("leased_at")?),
                columns::time(row, "closed_at")?,
            ))
        })
        .await
    }

    /// Deletes slices that were closed before `before`.
    pub async fn drop_slices(&self, key: &str, before: Wall) -> Result<(), StoreError> {
        let closed = "DELETE FROM window_slice WHERE limit_key = ?1 AND closed_at < ?2";
        self.execute(sqlite::query(closed).bind(key).bind(before.0))
            .await?;
        Ok(())
    }
}
