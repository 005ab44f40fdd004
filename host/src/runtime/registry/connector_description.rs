//! A connector's description in the host's own types, which depend neither on the contract's
//! version nor on the engine.

use egression_core::domain::action::Action;
use egression_core::scheduler::PackingRule;
use egression_core::time::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The description of a connector.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Description {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// A semantic version.
    pub version: String,
    /// The display name.
    pub title: String,
    /// The version of the contract: `0.1`.
    pub contract: String,
    /// The object types that the connector delivers.
    pub object_types: Vec<TypeSupport>,
    /// The limits of the destination.
    pub buckets: Vec<Bucket>,
    /// The auth schemes that the connector supports.
    pub auth_schemes: Vec<AuthScheme>,
    /// The JSON Schema of a connection's settings.
    #[schema(value_type = Object)]
    pub settings_schema: Value,
    /// The hosts that the connector needs.
    pub hosts: Vec<HostNeed>,
    /// Whether an instance may serve several calls of one tenant.
    pub reusable: bool,
    /// The optional interfaces that the connector exports: `settlement`, `reconciliation`,
    /// `settings-migration`.
    pub optional_exports: Vec<String>,
}

/// How the connector delivers one object type.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TypeSupport {
    /// The object type.
    pub object_type: String,
    /// The supported actions.
    #[schema(value_type = Vec<String>)]
    pub actions: Vec<Action>,
    /// The actions that can be repeated safely with the same bytes.
    #[schema(value_type = Vec<String>)]
    pub idempotent_actions: Vec<Action>,
    /// The most items of one call; at least 1.
    pub max_items: u32,
    /// The most bytes of bodies in one call.
    pub max_bytes: u64,
    /// The most concurrent calls of one connection; 0 means the channel's limit.
    pub max_in_flight: u32,
    /// How long a call that is not full may wait for more items, in milliseconds.
    pub max_wait_ms: u64,
    /// Whether one call may mix actions.
    pub mixed_actions: bool,
    /// Whether one call may contain several jobs of one partition key.
    pub in_order: bool,
    /// Whether a call takes effect as a whole or not at all.
    pub atomic: bool,
    /// True if a write replaces the object; false if it only changes the members of the body.
    pub replaces: bool,
    /// The estimated number of requests of a full call.
    pub requests_per_call: u32,
    /// The format of the bodies.
    pub body: BodyFormat,
    /// An example body.
    pub example: String,
    /// Where bodies contain references to other objects.
    pub references: Vec<ReferencePointer>,
}

impl TypeSupport {
    /// How calls of this type are packed; at most `most` items in a call.
    pub fn packing(&self, most: u32) -> PackingRule {
        PackingRule {
            max_items: self.max_items.min(most).max(1),
            max_in_flight: self.max_in_flight,
            max_wait_ms: self.max_wait_ms,
            mixed_actions: self.mixed_actions,
            full_items: self.max_items.max(1),
            requests_per_call: self.requests_per_call.max(1),
        }
    }

    /// Estimated requests of a call with this many items.
    pub fn requests(&self, items: usize) -> u32 {
        self.packing(u32::MAX).requests(items)
    }
}

/// The format of a body.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// A standard body, by name: `standard@0.1`.
    Standard(String),
    /// The connector's own JSON Schema (draft 2020-12).
    #[schema(value_type = Object)]
    JsonSchema(Value),
}

/// Where a body contains a reference to another object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReferencePointer {
    /// A JSON pointer. `*` means each element of an array: `/categories/*`.
    pub pointer: String,
    /// The type of the referenced object.
    pub object_type: String,
}

/// A limit of the destination.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    /// The name of the limit.
    pub name: String,
    /// Who shares the limit: `connection`, `channel`, `connector` or `setting:NAME`.
    pub scope: String,
    /// How the limit works.
    pub kind: BucketKind,
    /// The cost that the limit counts; without it, the limit counts requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<String>,
    /// The operations that the limit covers; empty means all requests.
    pub operations: Vec<String>,
}

/// How a limit works.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BucketKind {
    /// At most `rate` per `per_ms`, and at most `burst` at once.
    TokenBucket {
        /// Requests, or their cost, per `per_ms`.
        rate: u32,
        /// Milliseconds.
        per_ms: u64,
        /// Requests, or their cost, at once.
        burst: u32,
    },
    /// At most `max` in any `window_ms`. With an anchor, at most `max` in each of the consecutive
    /// windows of `window_ms`.
    Window {
        /// Requests, or their cost.
        max: u32,
        /// Milliseconds.
        window_ms: u64,
        /// The start of one of the windows, in milliseconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<i64>)]
        anchor: Option<Wall>,
    },
    /// At most `max` requests at once.
    Concurrency {
        /// Requests.
        max: u32,
    },
    /// At least `interval_ms` between two requests.
    MinInterval {
        /// Milliseconds.
        interval_ms: u64,
    },
}

/// An auth scheme that the connector supports.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuthScheme {
    /// The scheme's name.
    pub scheme: String,
    /// The secrets that `authenticate` needs.
    pub secrets: Vec<String>,
}

/// A host that the connector needs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostNeed {
    /// A fixed name, or `*.suffix`.
    Name(String),
    /// The host in the URL of this setting.
    Setting(String),
}

impl Description {
    pub fn object_type(&self, name: &str) -> Option<&TypeSupport> {
        self.object_types.iter().find(|t| t.object_type == name)
    }
}
