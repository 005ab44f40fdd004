//! What a connector says about itself, in the host's own words: free of the contract's version and
//! of the engine.

use egression_core::domain::action::Action;
use egression_core::time::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A connector's manifest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Description {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// For people.
    pub title: String,
    /// The contract that it implements: `0.1`.
    pub contract: String,
    /// What it delivers.
    pub object_types: Vec<TypeSupport>,
    /// The destination's limits as the connector knows them.
    pub buckets: Vec<Bucket>,
    /// Ways to authenticate.
    pub auth_schemes: Vec<AuthScheme>,
    /// JSON Schema of a connection's settings.
    #[schema(value_type = Object)]
    pub settings_schema: Value,
    /// Hosts that it must reach.
    pub hosts: Vec<HostNeed>,
    /// An instance may serve several calls of one tenant.
    pub reusable: bool,
    /// Optional interfaces that it exports: settlement, reconciliation, settings-migration.
    pub optional_exports: Vec<String>,
}

/// How one object type is delivered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TypeSupport {
    /// The type.
    pub object_type: String,
    /// What it does.
    #[schema(value_type = Vec<String>)]
    pub actions: Vec<Action>,
    /// What can be repeated with the same bytes without harm.
    #[schema(value_type = Vec<String>)]
    pub idempotent_actions: Vec<Action>,
    /// Items in one call; at least 1.
    pub max_items: u32,
    /// Bytes of bodies in one call.
    pub max_bytes: u64,
    /// Calls at once for one connection; 0: the channel's bound.
    pub max_in_flight: u32,
    /// How long a call that is not full may wait for more.
    pub max_wait_ms: u64,
    /// One call may mix actions.
    pub mixed_actions: bool,
    /// One call may carry several jobs of one key.
    pub in_order: bool,
    /// A call takes effect as a whole or not at all.
    pub atomic: bool,
    /// True: a write replaces the object; false: it changes what it names.
    pub replaces: bool,
    /// Estimated requests of a full call.
    pub requests_per_call: u32,
    /// `standard@0.1`, or the connector's own schema.
    pub body: BodyFormat,
    /// A body as the destination takes it.
    pub example: String,
    /// Where references are found.
    pub references: Vec<ReferencePointer>,
}

/// What a body looks like.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// A standard body, by name.
    Standard(String),
    /// The connector's own JSON Schema.
    #[schema(value_type = Object)]
    JsonSchema(Value),
}

/// Where a reference is found in a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReferencePointer {
    /// A JSON pointer in which `*` stands for every element: `/categories/*`.
    pub pointer: String,
    /// The type of the object referred to.
    pub object_type: String,
}

/// A limit that the connector names.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// `connection`, `channel`, `connector` or `setting:NAME`.
    pub scope: String,
    /// How it fills.
    pub kind: BucketKind,
    /// What it counts: the cost of this name; none: requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<String>,
    /// What it covers; empty: every request.
    pub operations: Vec<String>,
}

/// How a limit fills and empties.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BucketKind {
    /// At most `rate` per `per_ms`, and `burst` at once.
    TokenBucket {
        /// Requests, or what they cost, per `per_ms`.
        rate: u32,
        /// Milliseconds.
        per_ms: u64,
        /// As many at once.
        burst: u32,
    },
    /// At most `max` in any `window_ms`, or with an anchor in each of the windows that follow one
    /// another.
    Window {
        /// Requests, or what they cost.
        max: u32,
        /// Milliseconds.
        window_ms: u64,
        /// An instant at which a window begins, in milliseconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<i64>)]
        anchor: Option<Wall>,
    },
    /// At most `max` at once.
    Concurrency {
        /// Requests.
        max: u32,
    },
    /// At least `interval_ms` between two.
    MinInterval {
        /// Milliseconds.
        interval_ms: u64,
    },
}

/// A way to authenticate.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthScheme {
    /// The scheme's name.
    pub scheme: String,
    /// Secrets that `authenticate` asks for.
    pub secrets: Vec<String>,
}

/// A host that the connector must reach.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostNeed {
    /// A fixed name, or `*.suffix`.
    Name(String),
    /// The host of the URL in this setting.
    Setting(String),
}

impl Description {
    /// How a type is delivered; none: not at all.
    #[must_use]
    pub fn object_type(&self, name: &str) -> Option<&TypeSupport> {
        self.object_types.iter().find(|t| t.object_type == name)
    }
}
