//! Bounds of the store, with their defaults.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the store works. The names are those of the `[server.store]` table of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// Changes that may wait for the writer.
    pub write_queue: usize,
    /// Rows after which the writer commits a group although more changes are waiting.
    pub group_rows: usize,
    /// How long a change or a question waits for the database, a connection or the queue.
    pub busy_timeout_ms: u64,
    /// Connections for questions.
    pub readers: u32,
    /// How long a finished execution is kept with its jobs and their histories, in milliseconds.
    /// Idempotency keys, and the executions that they name, are kept for a day at least.
    pub retention_ms: i64,
    /// How often executions past their time are looked for and removed, in milliseconds; at the
    /// start as well.
    pub removal_interval_ms: u64,
    /// Events that are kept of one job. Of a longer history the first 20 are kept and the newest;
    /// the numbers show the gap.
    pub events_per_job: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            write_queue: 1024,
            group_rows: 2000,
            busy_timeout_ms: 5000,
            readers: 4,
            retention_ms: 30 * 24 * 60 * 60 * 1000,
            removal_interval_ms: 10 * 60 * 1000,
            events_per_job: 500,
        }
    }
}
