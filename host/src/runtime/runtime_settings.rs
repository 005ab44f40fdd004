//! The settings of the WASM engine and their defaults.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schemas::SchemaBounds;

/// The table `[server.runtime]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeSettings {
    /// The number of concurrent instances, running and idle.
    pub slots: u32,
    /// The number of threads on which guests run. Calls that compute long have as many of their
    /// own, with a lower priority.
    pub workers: usize,
    /// How long a guest may compute in one call. Waiting for responses does not count.
    pub cpu_budget_ms: u64,
    /// The most linear memory of one instance, over all its memories.
    pub memory_bytes: usize,
    /// The most linear memory of all instances together. Half of it is divided equally among the
    /// slots, so that each instance always gets its share. The other half is for instances that
    /// need more, first come, first served.
    pub guest_memory_total_bytes: usize,
    /// The most bytes that a guest may pass to the host in one call of an import, or as a result.
    pub transfer_bytes: usize,
    /// The largest component that can be installed.
    pub max_component_bytes: usize,
    /// How long a guest may still compute after a call's deadline, to return its results.
    pub grace_ms: u64,
    /// How long `describe` may take at installation.
    pub describe_ms: u64,
    /// The most calls of one instance, if its connector is reusable.
    pub calls_per_instance: u32,
    /// How long an instance of a reusable connector stays idle before it is dropped. An idle
    /// instance holds memory and a slot.
    pub idle_instance_ms: u64,
    /// Bounds on the log of one call.
    pub log: LogBounds,
    /// Bounds on the description of a connector.
    pub description: DescriptionBounds,
    /// Bounds on the JSON Schemas of connectors.
    pub schemas: SchemaBounds,
    /// Bounds on compiling a component.
    pub compile: CompileBounds,
    /// The folder of compiled code, in the data directory.
    #[serde(skip)]
    pub cache_dir: PathBuf,
    /// The key that authenticates compiled code.
    #[serde(skip)]
    pub cache_key: CacheKey,
    /// The program that compiles components: this one.
    #[serde(skip)]
    pub compiler: PathBuf,
}

/// The key of the HMAC-SHA256 over compiled code. The caller derives it from the master key.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CacheKey(pub [u8; 32]);

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey(…)")
    }
}

/// Bounds on the log lines of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogBounds {
    /// The most lines.
    pub lines: u32,
    /// The most bytes of one line.
    pub line_bytes: usize,
    /// The most bytes of all lines, with their attributes.
    pub total_bytes: usize,
}

/// Bounds on the description of a connector. A component that exceeds one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DescriptionBounds {
    /// The most bytes of the whole description as JSON, with schemas and examples.
    pub max_bytes: usize,
    /// The longest title, in characters.
    pub max_title_chars: usize,
    /// The longest name, version, pointer or other text, in bytes. Schemas and examples have other
    /// bounds.
    pub max_text_bytes: usize,
    /// The most object types.
    pub max_object_types: usize,
    /// The most references of one object type.
    pub max_references: usize,
    /// The most buckets, and the most operations of one bucket.
    pub max_buckets: usize,
    /// The most auth schemes, and the most secrets of one scheme.
    pub max_auth_schemes: usize,
    /// The most hosts.
    pub max_hosts: usize,
}

impl Default for DescriptionBounds {
    fn default() -> Self {
        Self {
            max_bytes: 1024 * 1024,
            max_title_chars: 200,
            max_text_bytes: 1_000,
            max_object_types: 200,
            max_references: 200,
            max_buckets: 200,
            max_auth_schemes: 50,
            max_hosts: 200,
        }
    }
}

/// Bounds on compiling a component. Each compilation is a process of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompileBounds {
    /// The number of components that compile at the same time. Others wait. Large components leave
    /// one slot to small ones.
    pub slots: usize,
    /// Up to this size, a component is small.
    pub small_component_bytes: usize,
    /// How long a component waits for a slot.
    pub queue_ms: u64,
    /// How long a compilation may take.
    pub deadline_ms: u64,
    /// The address space of the process that compiles.
    pub memory_bytes: u64,
    /// The most functions of a component, over all its modules, including imported functions.
    pub max_functions: u64,
    /// The most types of a component, over all its modules.
    pub max_types: u64,
    /// The most bytes of code of a component, over all its modules.
    pub max_code_bytes: u64,
    /// The most instances that a component makes of its modules and nested components, estimated
    /// from above.
    pub max_instances: u64,
    /// The most bytes of compiled code.
    pub max_compiled_bytes: u64,
}

impl RuntimeSettings {
    /// The defaults, with the folder and key of the cache.
    pub fn new(cache_dir: PathBuf, cache_key: CacheKey) -> Self {
        Self {
            slots: 64,
            workers: 2,
            cpu_budget_ms: 5_000,
            memory_bytes: 128 * 1024 * 1024,
            guest_memory_total_bytes: 2 * 1024 * 1024 * 1024,
            transfer_bytes: 32 * 1024 * 1024,
            max_component_bytes: 64 * 1024 * 1024,
            grace_ms: 1_000,
            describe_ms: 10_000,
            calls_per_instance: 64,
            idle_instance_ms: 60_000,
            log: LogBounds::default(),
            description: DescriptionBounds::default(),
            schemas: SchemaBounds::default(),
            compile: CompileBounds::default(),
            cache_dir,
            cache_key,
            compiler: own_program(),
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

impl Default for CompileBounds {
    fn default() -> Self {
        Self {
            slots: 2,
            small_component_bytes: 4 * 1024 * 1024,
            queue_ms: 60_000,
            deadline_ms: 120_000,
            memory_bytes: 2 * 1024 * 1024 * 1024,
            max_functions: 50_000,
            max_types: 20_000,
            max_code_bytes: 32 * 1024 * 1024,
            max_instances: 10_000,
            max_compiled_bytes: 128 * 1024 * 1024,
        }
    }
}

/// The program of this process. Linux finds it even after its file was replaced.
#[cfg(all(not(test), target_os = "linux"))]
fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

#[cfg(all(not(test), not(target_os = "linux")))]
fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("egression"))
}

/// The program of a unit test is not `egression`, which must be built before: `cargo build
/// --workspace --bins`.
#[cfg(test)]
fn own_program() -> PathBuf {
    std::env::var_os("EGRESSION_BIN").map_or_else(
        || {
            // The test is in the folder `deps` next to the program.
            let test = std::env::current_exe().expect("a test has a path");
            let profile = test
                .ancestors()
                .nth(2)
                .expect("it is in a target directory");
            profile.join("egression")
        },
        PathBuf::from,
    )
}
