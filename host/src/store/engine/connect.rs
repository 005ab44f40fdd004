//! Connections to the database file: one for the writer, a few for readers.

use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::store::engine::sqlite::Connection;
use crate::store::{StoreError, StoreOptions};

/// More than the store has texts of statements.
const CACHED_STATEMENTS: usize = 512;

/// The writer's connection. Creates the database if there is none.
pub fn writer(file: &Path, options: &StoreOptions) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut conn = open(file, options, flags)?;
    // The cache is in KiB: the hot indexes of a million waiting jobs should stay in memory. The
    // checkpoint is in pages: while a bulk is staged, the indexes by hash change the same pages
    // again and again; with a log of 64 MiB, a checkpoint writes each of them once.
    conn.batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -131072; \
         PRAGMA temp_store = memory; PRAGMA wal_autocheckpoint = 16000; \
         PRAGMA journal_size_limit = 134217728",
    )?;
    Ok(conn)
}

/// A reader. It cannot write.
pub fn reader(file: &Path, options: &StoreOptions) -> Result<Connection, StoreError> {
    let mut conn = open(file, options, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.batch("PRAGMA cache_size = -16384")?;
    Ok(conn)
}

fn open(file: &Path, options: &StoreOptions, flags: OpenFlags) -> Result<Connection, StoreError> {
    // One thread at a time uses a connection.
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = rusqlite::Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    conn.execute_batch("PRAGMA foreign_keys = ON")?;
    Ok(Connection(conn))
}

/// Brings the schema up to date.
pub async fn migrate(file: &Path) -> Result<(), StoreError> {
    let failed = |error: String| StoreError::Database(format!("migration: {error}"));
    let connect = SqliteConnectOptions::new()
        .filename(file)
        .disable_statement_logging();
    let mut conn = connect
        .connect()
        .await
        .map_err(|error| failed(error.to_string()))?;
    let migrated = sqlx::migrate!("migrations/sqlite").run(&mut conn).await;
    migrated.map_err(|error| failed(error.to_string()))?;
    conn.close()
        .await
        .map_err(|error| failed(error.to_string()))
}
