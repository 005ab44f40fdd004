//! Facts about limits that survive a restart.

use egression_core::time::Wall;
use sqlx::Row as _;

use crate::store::{Store, StoreError};

impl Store {
    /// Closed limits and when they reopen. Deletes those of the past.
    pub async fn closed_limits(&self, now: Wall) -> Result<Vec<(String, Wall)>, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM closed_until WHERE until <= $1")
                    .bind(now.0)
                    .execute(&mut tx.conn)
                    .await?;
                let rows =
                    sqlx::query("SELECT limit_key, until FROM closed_until ORDER BY limit_key")
                        .fetch_all(&mut tx.conn)
                        .await?;
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, Wall(row.try_get(1)?))))
                    .collect()
            })
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
        let (key, reason) = (key.to_owned(), reason.to_owned());
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO closed_until (limit_key, until, reason) VALUES ($1, $2, $3) ON \
                     CONFLICT (limit_key) DO UPDATE SET until = excluded.until, reason = \
                     excluded.reason WHERE excluded.until > closed_until.until",
                )
                .bind(key)
                .bind(until.0)
                .bind(reason)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Reopens a limit.
    pub async fn reopen_limit(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM closed_until WHERE limit_key = $1")
                    .bind(key)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Leases `units` of a window before they are used; durable when this returns.
    ///
    /// # Errors [`StoreError::Database`] if the slice is leased already.
    pub async fn lease_slice(
        &self,
        key: &str,
        slice: i64,
        units: u32,
        at: Wall,
    ) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO window_slice (limit_key, slice, units, leased_at) VALUES \
                    ($1, $2, $3, $4)",
                )
                .bind(key)
                .bind(slice)
                .bind(units)
                .bind(at.0)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Records when a slice's last unit was used.
    pub async fn close_slice(&self, key: &str, slice: i64, at: Wall) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE window_slice SET closed_at = $1 WHERE limit_key = $2 AND \
                    slice = $3 AND closed_at IS NULL",
                )
                .bind(at.0)
                .bind(key)
                .bind(slice)
                .execute(&mut tx.conn)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The slices of all windows: (key, slice, units, leased at, closed at).
    pub async fn slices(&self) -> Result<Vec<(String, i64, u32, Wall, Option<Wall>)>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "SELECT limit_key, slice, units, leased_at, closed_at FROM \
                    window_slice ORDER BY limit_key, slice",
                )
                .fetch_all(conn)
                .await?;
                rows.iter()
                    .map(|row| {
                        let closed: Option<i64> = row.try_get(4)?;
                        Ok((
                            row.try_get(0)?,
                            row.try_get(1)?,
                            row.try_get(2)?,
                            Wall(row.try_get(3)?),
                            closed.map(Wall),
                        ))
                    })
                    .collect()
            })
        })
        .await
    }

    /// Deletes slices that were closed before `before`.
    pub async fn drop_slices(&self, key: &str, before: Wall) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM window_slice WHERE limit_key = $1 AND closed_at < $2")
                    .bind(key)
                    .bind(before.0)
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
