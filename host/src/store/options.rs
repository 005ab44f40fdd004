//! The store's settings, with their defaults.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Settings of the store: the table `[server.store]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// The number of changes that may wait for the writer.
    pub write_queue: usize,
    /// The writer commits a group after this many rows, even if more changes wait.
    pub group_rows: usize,
    /// Maximum wait of a read or a write for the database, a connection or the queue, in
    /// milliseconds.
    pub busy_timeout_ms: u64,
    /// The size of the database's write-ahead log (`egression.db-wal`) above which the writer waits
    /// for readers and empties it. A reader in another process can keep it larger.
    pub log_max_bytes: u64,
    /// The number of connections for reads.
    pub readers: u32,
    /// How long finished executions are kept with their jobs and histories, in milliseconds.
    /// Idempotency keys and their executions are kept for at least a day.
    pub retention_ms: i64,
    /// How often expired executions are removed, in milliseconds. The host also removes them at the
    /// start.
    pub removal_interval_ms: u64,
    /// The number of events kept per job. A longer history keeps its first 20 and its newest
    /// events; the event numbers show the gap.
    pub events_per_job: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            write_queue: 1024,
            group_rows: 2000,
            busy_timeout_ms: 5000,
            log_max_bytes: 256 * 1024 * 1024,
            readers: 4,
            retention_ms: 30 * 24 * 60 * 60 * 1000,
            removal_interval_ms: 10 * 60 * 1000,
            events_per_job: 500,
        }
    }
}
