//! The documents: subscription, source, channel, connection. Unknown fields are refused.

use std::collections::BTreeMap;

use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::partition::PartitionRule;
use egression_core::domain::retry::RetryRules;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::limits::LimitDocument;
use super::secret::SecretRef;

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionDocument {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 63 characters.
    pub name: String,
    /// Its share when subscriptions take turns; at least 1.
    #[serde(default = "one")]
    pub weight: u32,
}

/// Where bodies are read.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceDocument {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 63 characters.
    pub name: String,
    /// How bodies are read.
    pub kind: SourceKind,
    /// A URL with `{type}` and `{id}` (percent-encoded when filled in). `GET` answers
    /// `{"id","type","revision","body"}`; 404 means that the object is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_url: Option<String>,
    /// A URL that answers `POST {"type","ids":[…]}` with `{"objects":[…],"missing":[…]}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_url: Option<String>,
    /// Ids in one batch read.
    #[serde(default = "default_max_batch")]
    pub max_batch: u32,
    /// How the source is authenticated to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthDocument>,
    /// Bounds on requests to the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitDocument>,
    /// Address ranges that may be dialled although they are not public.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub allow_addresses: Vec<IpNet>,
    /// The whole read of one request, in milliseconds.
    #[serde(default = "default_source_timeout_ms")]
    pub timeout_ms: u64,
    /// The largest body of one object in bytes.
    #[serde(default = "default_max_object_bytes")]
    pub max_object_bytes: u64,
}

/// How bodies are read from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A Metadata API.
    Http,
    /// They come with the request.
    Inline,
}

/// A named target.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelDocument {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 63 characters.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// Pins a version: `1.2` takes the newest installed `1.2.x`. None: the active version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Object types per belt, in order. Types that no belt names go to the last one. Empty: one
    /// belt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub belts: Vec<Vec<String>>,
    /// The partition key of jobs that bring none: `object`, `type`, `channel`, or a template with
    /// `{type}`, `{id}` and `{id:N}` (the first N characters of the id).
    #[serde(default)]
    #[schema(value_type = String)]
    pub partition: PartitionRule,
    /// What a key does when a job has used up its attempts.
    #[serde(default)]
    pub on_exhausted: OnFailure,
    /// What a key does when the destination rejects a job. (What its source does not have, or a
    /// body against the schema, never blocks a key.)
    #[serde(default)]
    pub on_rejected: OnFailure,
    /// What later belts do when an earlier one is not clean: `continue`, `hold` (for a person) or
    /// `abort` (the rest ends as cancelled).
    #[serde(default)]
    #[schema(value_type = String)]
    pub belt_on_failure: BeltOnFailure,
    /// Whether the newest of several waiting jobs of one object is sent for all. Kept, and not in
    /// force yet: each is sent.
    #[serde(default = "yes")]
    pub merge: bool,
    /// Attempts and backoff.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub retry: RetryRules,
    /// Bounds on requests to the destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitDocument>,
    /// How long a job waits for an object that it refers to, in milliseconds; at most 48 h.
    #[serde(default = "default_parent_wait_ms")]
    pub parent_wait_ms: u64,
    /// The whole of one call to the connector, in milliseconds.
    #[serde(default = "default_call_timeout_ms")]
    pub call_timeout_ms: u64,
    /// One request of the connector, in milliseconds; at most `call_timeout_ms`. None: 15 s, or all
    /// of a shorter call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout_ms: Option<u64>,
    /// Calls of one connection that are being prepared or under way at once.
    #[serde(default = "default_max_calls")]
    pub max_calls: u32,
    /// Items in one call, where the connector would take more. None: the connector's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_items: Option<u32>,
    /// How long before its send a body may be read, in milliseconds.
    #[serde(default = "default_payload_max_age_ms")]
    pub payload_max_age_ms: u64,
    /// How long the destination may take to decide what it accepted, in milliseconds. Kept, and not
    /// in force yet: nothing is polled.
    #[serde(default = "default_settle_within_ms")]
    pub settle_within_ms: u64,
}

impl ChannelDocument {
    /// How long one request of the connector may take, in milliseconds.
    #[must_use]
    pub fn request_timeout_ms(&self) -> u64 {
        self.request_timeout_ms
            .unwrap_or_else(|| DEFAULT_REQUEST_TIMEOUT_MS.min(self.call_timeout_ms))
    }
}

/// What a partition key does behind a job that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The job ends and the next one goes.
    #[default]
    Skip,
    /// The key waits for a person.
    Block,
}

/// A subscription's way into a channel.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionDocument {
    /// The subscription.
    pub subscription: String,
    /// The channel.
    pub channel: String,
    /// What the connector's settings schema asks for.
    #[serde(default = "no_settings")]
    #[schema(value_type = Object)]
    pub settings: Value,
    /// The credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthDocument>,
    /// Bounds on top of the channel's. They can only be tighter: all apply at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitDocument>,
    /// Hosts that the connector may reach, beside the host of the setting that the connector names:
    /// `https://shop.example`, `https://*.shop.example:8443`. Fixed by the operator; a host that
    /// the connector's manifest names by itself is reached only if it is listed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Address ranges that may be dialled although they are not public: `127.0.0.1/32`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub allow_addresses: Vec<IpNet>,
}

/// How a connection or source authenticates. The host does all of these but `connector` by itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthDocument {
    /// Nothing is added.
    None,
    /// `Authorization: Bearer …` with a fixed token (RFC 6750).
    Bearer {
        /// The token.
        token: SecretRef,
    },
    /// A token by the client credentials grant (RFC 6749, section 4.4), fetched and renewed by the
    /// host.
    #[serde(rename = "oauth2_client_credentials")]
    OAuth2ClientCredentials {
        /// The token endpoint.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: SecretRef,
        /// Asked for, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scope: Option<String>,
    },
    /// The connector's `authenticate` makes a session from named secrets.
    Connector {
        /// The secrets by the names that the connector asks for.
        secrets: BTreeMap<String, SecretRef>,
    },
}

/// A set of documents, as in a TOML file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Documents {
    /// Tenants.
    pub subscriptions: Vec<SubscriptionDocument>,
    /// Where bodies are read.
    pub sources: Vec<SourceDocument>,
    /// Targets.
    pub channels: Vec<ChannelDocument>,
    /// Subscriptions' ways into channels.
    pub connections: Vec<ConnectionDocument>,
}

/// One request of a connector whose channel does not say, in milliseconds.
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
