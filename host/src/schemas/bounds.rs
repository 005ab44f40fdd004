//! The bounds on schemas and their evaluation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bounds on the JSON Schemas of connectors, `[server.runtime.schemas]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaBounds {
    /// The number of threads that evaluate schemas.
    pub threads: usize,
    /// How long the evaluation of one body, or of one connection's settings, may take, in
    /// milliseconds. A body that takes longer is rejected; the connection is parked.
    pub deadline_ms: u64,
    /// The largest schema.
    pub max_bytes: usize,
    /// The deepest nesting of a schema, and the longest chain of references in it.
    pub max_depth: u32,
    /// The most subschemas of a schema.
    pub max_subschemas: usize,
    /// How often a schema may evaluate one value. `allOf`, `anyOf`, `oneOf`, `if` and `$ref`
    /// multiply.
    pub max_evaluations: u64,
    /// The longest regular expression.
    pub max_pattern_bytes: usize,
    /// The most states of all regular expressions of a schema.
    pub max_pattern_states: usize,
    /// The most steps of one evaluation. A step is a subschema that meets a value, or about a tenth
    /// of a microsecond.
    pub max_steps: u64,
}

impl Default for SchemaBounds {
    fn default() -> Self {
        Self {
            threads: 2,
            deadline_ms: 5_000,
            max_bytes: 256 * 1024,
            max_depth: 64,
            max_subschemas: 2_000,
            max_evaluations: 1_000,
            max_pattern_bytes: 1_000,
            max_pattern_states: 20_000,
            max_steps: 2_000_000,
        }
    }
}
