//! The documents: subscription, source, channel, connection. They refuse unknown fields.

use std::collections::BTreeMap;

use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::partition::PartitionRule;
use egression_core::domain::retry::RetryRules;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::audience::Audience;
use super::limits::LimitDocument;
use super::secret::SecretRef;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionDocument {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 63 characters.
    pub name: String,
    /// The share of turns that the subscription gets relative to others; at least 1.
    #[serde(default = "one")]
    #[schema(minimum = 1)]
    pub weight: u32,
}

/// The system that objects' bodies are read from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceDocument {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 63 characters.
    pub name: String,
    /// The subscriptions that may name the source in a submission; `["*"]`: all. For any other
    /// subscription, the source does not exist.
    #[serde(default = "Audience::missing")]
    #[schema(value_type = Vec<String>, required = true)]
    pub subscriptions: Audience,
    /// How the host gets bodies.
    pub kind: SourceKind,
    /// A URL with the placeholders `{type}` and `{id}`, which the host fills in percent-encoded.
    /// `GET` returns `{"id","type","revision","body"}`; 404 means that the object does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_url: Option<String>,
    /// A URL that accepts `POST {"type","ids":[…]}` and returns `{"objects":[…],"missing":[…]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_url: Option<String>,
    /// The most ids in one batch read.
    #[serde(default = "default_max_batch")]
    #[schema(minimum = 1, maximum = 10000)]
    pub max_batch: u32,
    /// How the host authenticates to the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthDocument>,
    /// Limits on requests to the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub limits: Vec<LimitDocument>,
    /// Non-public address ranges that the host may connect to: `127.0.0.1/32`, `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub allow_addresses: Vec<IpNet>,
    /// The timeout of one request, including reading the response, in milliseconds.
    #[serde(default = "default_source_timeout_ms")]
    #[schema(minimum = 1, maximum = 600000)]
    pub timeout_ms: u64,
    /// The largest body of one object, in bytes.
    #[serde(default = "default_max_object_bytes")]
    #[schema(minimum = 1, maximum = 67108864)]
    pub max_object_bytes: u64,
}

/// How the host gets bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// From a Metadata API.
    Http,
    /// From the submission itself.
    Inline,
}

/// A target: a sales channel, reached through a connector.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelDocument {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 63 characters.
    pub name: String,
    /// The subscriptions that may connect; `["*"]`: all. For any other subscription, the channel
    /// does not exist.
    #[serde(default = "Audience::everybody")]
    #[schema(value_type = Vec<String>)]
    pub subscriptions: Audience,
    /// The connector's name.
    pub connector: String,
    /// Pins a version: `1.2` selects the newest installed `1.2.x`. Without it, the active version
    /// is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The object types of each belt, in order. A type that no belt lists goes to the last belt. If
    /// empty, there is one belt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub belts: Vec<Vec<String>>,
    /// The partition key of jobs that specify none: `object`, `type`, `channel`, or a template with
    /// `{type}`, `{id}` and `{id:N}` (the first N characters of the id).
    #[serde(default)]
    #[schema(value_type = String)]
    pub partition: PartitionRule,
    /// The effect on the partition key when a job has used up its attempts.
    #[serde(default)]
    pub on_exhausted: OnFailure,
    /// The effect on the partition key when the destination rejects a job. An object that its
    /// source does not have, or a body that violates the schema, never blocks a key.
    #[serde(default)]
    pub on_rejected: OnFailure,
    /// The effect on later belts when a job of an earlier belt did not succeed: `continue`, `hold`
    /// (until a person decides) or `abort` (the remaining jobs are cancelled).
    #[serde(default)]
    #[schema(value_type = String)]
    pub belt_on_failure: BeltOnFailure,
    /// Whether only the newest of several waiting jobs of one object is sent. Stored but not in
    /// effect yet: every job is sent.
    #[serde(default = "yes")]
    pub merge: bool,
    /// Attempts and backoff.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub retry: RetryRules,
    /// Limits on requests to the destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub limits: Vec<LimitDocument>,
    /// The longest time for which the destination can close a limit or postpone a job, in
    /// milliseconds; at most 31 days. A longer `Retry-After` counts as this.
    #[serde(default = "default_max_retry_after_ms")]
    pub max_retry_after_ms: u64,
    /// How long a job waits for an object that it refers to, in milliseconds; at most 48 h.
    #[serde(default = "default_parent_wait_ms")]
    #[schema(minimum = 0, maximum = 172800000)]
    pub parent_wait_ms: u64,
    /// The timeout of one call to the connector, in milliseconds.
    #[serde(default = "default_call_timeout_ms")]
    #[schema(minimum = 1, maximum = 900000)]
    pub call_timeout_ms: u64,
    /// The timeout of one request of the connector, in milliseconds; at most `call_timeout_ms`.
    /// Without it, 15 s or `call_timeout_ms`, whichever is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 900000)]
    pub request_timeout_ms: Option<u64>,
    /// The most calls of one connection that are prepared or run at once.
    #[serde(default = "default_max_calls")]
    #[schema(minimum = 1, maximum = 4096)]
    pub max_calls: u32,
    /// The most items in one call. Without it, the connector's own bound applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100000)]
    pub max_items: Option<u32>,
    /// The greatest age of a body when it is sent, in milliseconds.
    #[serde(default = "default_payload_max_age_ms")]
    #[schema(minimum = 1, maximum = 86400000)]
    pub payload_max_age_ms: u64,
    /// How long the destination may take to decide about a job that it accepted, in milliseconds.
    /// Stored but not in effect yet: the host does not poll.
    #[serde(default = "default_settle_within_ms")]
    #[schema(minimum = 1)]
    pub settle_within_ms: u64,
}

impl ChannelDocument {
    /// The timeout of one request of the connector, in milliseconds.
    pub fn request_timeout_ms(&self) -> u64 {
        self.request_timeout_ms
            .unwrap_or_else(|| DEFAULT_REQUEST_TIMEOUT_MS.min(self.call_timeout_ms))
    }
}

/// The effect of a job that did not succeed on its partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The next job of the key is sent.
    #[default]
    Skip,
    /// The key waits until a person decides.
    Block,
}

/// A subscription's access to a channel.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDocument {
    /// The subscription.
    pub subscription: String,
    /// The channel.
    pub channel: String,
    /// The settings that the connector's schema requires.
    #[serde(default = "no_settings")]
    #[schema(value_type = Object)]
    pub settings: Value,
    /// The credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthDocument>,
    /// Limits in addition to the channel's. All apply at once, so they can only tighten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 32)]
    pub limits: Vec<LimitDocument>,
    /// Hosts that the connector may reach in addition to the hosts in its settings:
    /// `https://shop.example`, `https://*.shop.example:8443`. A host that the connector's manifest
    /// names is reachable only if it is listed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Non-public address ranges that the host may connect to: `127.0.0.1/32`, `10.0.0.0/8`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub allow_addresses: Vec<IpNet>,
}

/// How a connection or source authenticates. The host implements every scheme except `connector`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthDocument {
    /// No authentication.
    None,
    /// `Authorization: Bearer …` with a fixed token (RFC 6750).
    Bearer {
        /// The token.
        token: SecretRef,
    },
    /// A token by the client credentials grant (RFC 6749, section 4.4), which the host fetches and
    /// renews.
    #[serde(rename = "oauth2_client_credentials")]
    OAuth2ClientCredentials {
        /// The token endpoint.
        token_url: String,
        /// The client's id.
        client_id: String,
        /// The client's secret.
        client_secret: SecretRef,
        /// The scope to request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
    /// The connector's `authenticate` creates a session from named secrets.
    Connector {
        /// The secrets, by the names that the connector expects.
        secrets: BTreeMap<String, SecretRef>,
    },
}

/// A set of documents, as in a TOML file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Documents {
    /// Tenants.
    pub subscriptions: Vec<SubscriptionDocument>,
    /// The systems that objects' bodies are read from.
    pub sources: Vec<SourceDocument>,
    /// Targets.
    pub channels: Vec<ChannelDocument>,
    /// The subscriptions' accesses to channels.
    pub connections: Vec<ConnectionDocument>,
}

/// The default of `request_timeout_ms`.
const DEFAULT_REQUEST_TIMEOUT_MS: u64 = 15_000;

fn no_settings() -> Value {
    Value::Object(serde_json::Map::new())
}
const fn one() -> u32 {
    1
}
const fn yes() -> bool {
    true
}
const fn default_max_batch() -> u32 {
    200
}
const fn default_source_timeout_ms() -> u64 {
    10_000
}
const fn default_max_object_bytes() -> u64 {
    1024 * 1024
}
const fn default_max_retry_after_ms() -> u64 {
    60 * 60 * 1000
}
const fn default_parent_wait_ms() -> u64 {
    15 * 60 * 1000
}
const fn default_call_timeout_ms() -> u64 {
    30_000
}
const fn default_max_calls() -> u32 {
    128
}
const fn default_payload_max_age_ms() -> u64 {
    5000
}
const fn default_settle_within_ms() -> u64 {
    24 * 60 * 60 * 1000
}
