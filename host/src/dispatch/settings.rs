//! The dispatcher's settings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bounds on admission, `[server.dispatch]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DispatchSettings {
    /// Ready jobs of one connection that are held in memory.
    pub window: usize,
    /// Ready jobs read from the store at once.
    pub page: usize,
    /// A connection that was parked or whose circuit opened is first checked after this many
    /// milliseconds.
    pub probe_min_ms: u64,
    /// The longest time between two checks, in milliseconds.
    pub probe_max_ms: u64,
    /// Calls in a row without any answer after which a connection's circuit opens.
    pub circuit_after: u32,
    /// Guests that trapped in a row after which a connection's circuit opens.
    pub traps_after: u32,
    /// How long a stopping host waits for calls in flight, in milliseconds.
    pub drain_ms: u64,
}

impl Default for DispatchSettings {
    fn default() -> Self {
        Self {
            window: 4096,
            page: 512,
            probe_min_ms: 10_000,
            probe_max_ms: 300_000,
            circuit_after: 5,
            traps_after: 5,
            drain_ms: 35_000,
        }
    }
}
