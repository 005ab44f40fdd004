//! The database's write-ahead log (`egression.db-wal`): bounded while the host runs, and moved into
//! the database at a clean stop.
//!
//! SQLite moves pages into the database after commits, but starts the log anew only at a moment
//! without readers. Under steady reads that moment may not come, so above a bound the writer waits
//! for the readers of old pages. Readers that begin meanwhile read the database.

use std::path::{Path, PathBuf};

use crate::store::engine::sqlite::{self, Connection};
use crate::store::rows::columns;
use crate::store::{StoreError, StoreOptions};
use crate::telemetry::metrics;

/// A page of SQLite's default size, and its head in the log.
const FRAME_BYTES: u64 = 4096 + 24;
/// How long a commit waits for readers of old pages.
const READERS_WAIT_MS: u64 = 200;

#[derive(Debug)]
pub struct WriteAheadLog {
    file: PathBuf,
    max_bytes: u64,
    busy_timeout_ms: u64,
    /// The next attempt is due above this size.
    due_above_bytes: u64,
    /// Frames in the log, and those moved into the database, after the last commit.
    frames: u64,
    moved: u64,
}

impl WriteAheadLog {
    pub fn of(database: &Path, options: &StoreOptions) -> Self {
        let mut file = database.as_os_str().to_owned();
        file.push("-wal");
        Self {
            file: file.into(),
            max_bytes: options.log_max_bytes,
            busy_timeout_ms: options.busy_timeout_ms,
            due_above_bytes: options.log_max_bytes,
            frames: 0,
            moved: 0,
        }
    }

    /// After a commit: counts what it wrote. The log's file does not tell, because SQLite writes it
    /// from its beginning again once all of it is in the database.
    pub fn count(&mut self, conn: &mut Connection) {
        let Ok(state) = sqlite::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(conn) else {
            return;
        };
        let count = |column| columns::count(&state, column).unwrap_or(0);
        let (frames, moved) = (count("log"), count("checkpointed"));
        if frames < self.frames {
            (self.frames, self.moved) = (0, 0);
        }
        metrics::store_logged((frames - self.frames) * FRAME_BYTES);
        if moved > self.moved {
            metrics::store_checkpointed();
        }
        (self.frames, self.moved) = (frames, moved);
    }

    /// After a commit: empties the log if it is larger than its bound. A reader that stays open can
    /// prevent that; then the log grows by a quarter of its bound before the next attempt.
    pub async fn keep_within_bound(&mut self, conn: &mut Connection) {
        let bytes = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        if bytes <= self.due_above_bytes {
            return;
        }
        self.due_above_bytes = self.max_bytes;
        match self.empty_quickly(conn).await {
            Ok(true) => return,
            Ok(false) => tracing::warn!(
                bytes,
                max_bytes = self.max_bytes,
                "the database's log is larger than `store.log_max_bytes`, because a reader keeps \
                 an old state of the database open"
            ),
            Err(error) => tracing::warn!(bytes, %error, "the database's log was not emptied"),
        }
        self.due_above_bytes = bytes.saturating_add(self.max_bytes / 4);
    }

    async fn empty_quickly(&self, conn: &mut Connection) -> Result<bool, StoreError> {
        wait_at_most(conn, READERS_WAIT_MS.min(self.busy_timeout_ms)).await?;
        let emptied = empty(conn).await;
        wait_at_most(conn, self.busy_timeout_ms).await?;
        emptied
    }
}

/// Moves the log into the database and truncates it. False: a reader still needs the log.
pub async fn empty(conn: &mut Connection) -> Result<bool, StoreError> {
    let row = sqlite::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(conn)?;
    Ok(row.try_get::<i64>("busy")? == 0)
}

async fn wait_at_most(conn: &mut Connection, ms: u64) -> Result<(), StoreError> {
    sqlite::query(format!("PRAGMA busy_timeout = {ms}")).execute(conn)?;
    Ok(())
}
