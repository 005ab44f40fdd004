//! The resolver's bounds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bounds on reading from sources, `[server.resolver]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverSettings {
    /// Reads of objects that may wait for one source.
    pub queue: usize,
    /// How long a batch read waits for more objects, in milliseconds.
    pub linger_ms: u64,
    /// Requests to one source at once, if its limits allow as many.
    pub concurrency: usize,
    /// Failed requests in a row after which a source's circuit opens.
    pub circuit_after: u32,
    /// The first wait after a failure, in milliseconds; it doubles while the source fails.
    pub retry_base_ms: u64,
    /// The longest wait, in milliseconds.
    pub retry_max_ms: u64,
}

impl Default for ResolverSettings {
    fn default() -> Self {
        Self {
            queue: 8192,
            linger_ms: 4,
            concurrency: 8,
            circuit_after: 3,
            retry_base_ms: 500,
            retry_max_ms: 60_000,
        }
    }
}
