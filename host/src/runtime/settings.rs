//! The bounds of the WASM engine, each with its default.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How large, how long and how many: the table `[server.runtime]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeSettings {
    /// Instances that exist at once, running and idle.
    pub slots: u32,
    /// Threads that guests run on.
    pub workers: usize,
    /// The time that a guest may compute in one call; waiting for answers does not count.
    pub cpu_budget_ms: u64,
    /// The linear memory of one instance, all its memories together.
    pub memory_bytes: usize,
    /// What a guest may hand to the host in one call of an import, and as a result.
    pub transfer_bytes: usize,
    /// The largest component.
    pub max_component_bytes: usize,
    /// How long after a call's deadline a guest may still compute, to hand back what it knows.
    pub grace_ms: u64,
    /// How long `describe` may take at installation.
    pub describe_ms: u64,
    /// Calls that an instance serves whose connector declares itself reusable.
    pub calls_per_instance: u32,
    /// How long an instance of such a connector is kept between two calls; it holds memory and a
    /// slot.
    pub idle_instance_ms: u64,
    /// What is kept of the lines of one call.
    pub log: LogBounds,
    /// Where compiled code is kept; set by the host, in its data directory.
    #[serde(skip)]
    pub cache_dir: PathBuf,
    /// The key that authenticates compiled code; set by the host.
    #[serde(skip)]
    pub cache_key: CacheKey,
}

/// The key of the HMAC-SHA256 over compiled code. Derived from the master key by the caller; never
/// shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CacheKey(pub [u8; 32]);

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey(…)")
    }
}

/// What is kept of the lines that a guest writes in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogBounds {
    /// Lines.
    pub lines: u32,
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Bytes of all lines with their attributes.
    pub total_bytes: usize,
}

impl RuntimeSettings {
    /// The defaults, with the place and key of the cache.
    #[must_use]
    pub fn new(cache_dir: PathBuf, cache_key: CacheKey) -> Self {
        Self {
            slots: 64,
            workers: 2,
            cpu_budget_ms: 5_000,
            memory_bytes: 128 * 1024 * 1024,
            transfer_bytes: 32 * 1024 * 1024,
            max_component_bytes: 64 * 1024 * 1024,
            grace_ms: 1_000,
            describe_ms: 10_000,
            calls_per_instance: 64,
            idle_instance_ms: 60_000,
            log: LogBounds::default(),
            cache_dir,
            cache_key,
        }
    }
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self::new(PathBuf::new(), CacheKey::default())
    }
}

impl Default for LogBounds {
    fn default() -> Self {
        Self {
            lines: 200,
            line_bytes: 2_048,
            total_bytes: 64 * 1024,
        }
    }
}
