//! Connections to the database file: one for the writer, a few for readers.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, SqliteConnection};

use crate::store::{StoreError, StoreOptions};

/// More than the store has texts of statements.
const CACHED_STATEMENTS: usize = 512;

/// The writer's connection.
pub async fn writer(file: &Path, options: &StoreOptions) -> Result<SqliteConnection, StoreError> {
    let connect = base(file, options)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // In KiB. The hot indexes of a million waiting jobs should stay in memory.
        .pragma("cache_size", "-131072")
        .pragma("temp_store", "memory")
        // In pages. While a bulk is staged, the indexes by hash change the same pages again and
        // again: with a log of 64 MiB, a checkpoint writes each of them once.
        .pragma("wal_autocheckpoint", "16000")
        .pragma("journal_size_limit", "134217728");
    Ok(connect.connect().await?)
}

/// Brings the schema up to date.
pub async fn migrate(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::migrate!("migrations/sqlite")
        .run(conn)
        .await
        .map_err(|error| StoreError::Database(format!("migration: {error}")))
}

/// The readers. They cannot write.
pub fn readers(file: &Path, options: &StoreOptions) -> SqlitePool {
    let connect = base(file, options)
        .read_only(true)
        .pragma("cache_size", "-16384");
    SqlitePoolOptions::new()
        .max_connections(options.readers)
        .acquire_timeout(Duration::from_millis(options.busy_timeout_ms))
        .test_before_acquire(false)
        .connect_lazy_with(connect)
}

fn base(file: &Path, options: &StoreOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(Duration::from_millis(options.busy_timeout_ms))
        .statement_cache_capacity(CACHED_STATEMENTS)
        .disable_statement_logging()
}
