//! One call of a connector: what goes in and what comes back, in the host's own words.

use std::sync::Arc;

use egression_core::domain::action::Action;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::time::{Mono, Wall};
use serde::Serialize;

use super::abilities::Abilities;

/// Whose account is written to, with what, and until when.
#[derive(Clone)]
pub struct Call {
    /// What the guest can do, bound to this call's connection.
    pub abilities: Arc<dyn Abilities>,
    pub connection: ConnectionFrame,
    /// What `authenticate` made, if anything.
    pub session: Option<Session>,
}

/// The connection of one call.
#[derive(Clone, Debug)]
pub struct ConnectionFrame {
    pub subscription: Arc<str>,
    pub channel: Arc<str>,
    /// A JSON object, valid against the connector's schema.
    pub settings_json: Arc<str>,
    /// When the call must be over.
    pub deadline: Mono,
    pub dry_run: bool,
    /// W3C Trace Context.
    pub traceparent: Option<String>,
}

/// What `authenticate` made. Opaque; to be stored encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    pub data: Vec<u8>,
    /// Not good any more after this.
    pub expires_at: Option<Wall>,
    pub account: Option<String>,
}

/// The most bytes of a session, by the contract.
pub const MAX_SESSION_BYTES: usize = 64 * 1024;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("bytes", &self.data.len())
            .field("expires_at", &self.expires_at)
            .field("account", &self.account)
            .finish()
    }
}

#[derive(Clone, Debug)]
pub struct Item {
    /// Its name in this call.
    pub index: u32,
    pub job_id: String,
    pub object: ObjectKey,
    /// What to do; one that the connector declares.
    pub action: Action,
    /// JSON text; none for a delete.
    pub body: Option<String>,
    /// The source's revision, else the number of the delivery.
    pub revision: Option<u64>,
    /// The same for every repeat of the same bytes.
    pub idempotency_key: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// What is known of the object there; empty: unknown.
    pub remotes: Vec<Remote>,
    /// The body's references, looked up.
    pub references: Vec<ResolvedReference>,
}

/// A reference in a body with what is known of its target.
#[derive(Clone, Debug)]
pub struct ResolvedReference {
    /// Where it is in the body.
    pub pointer: String,
    pub target: ObjectKey,
    pub remotes: Vec<Remote>,
}

/// A decision that was accepted earlier and is asked for now.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The destination's name for it.
    pub token: String,
    pub submitted_at: Wall,
    /// The items that wait for it.
    pub items: Vec<Item>,
}

/// What a connector learnt about a pending decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub token: String,
    /// Outcomes by item index; each index at most once.
    pub settled: Vec<(u32, Outcome)>,
    pub again_after_ms: Option<u64>,
    pub finished: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    pub account: Option<String>,
    /// What the credential may do.
    pub scopes: Vec<String>,
    /// What is worth knowing although it works.
    pub remarks: Vec<Problem>,
}

/// The end of a call, however it ended.
#[derive(Clone, Debug)]
pub struct CallEnd<T> {
    /// What the guest returned, or why it did not.
    pub result: Result<T, CallError>,
    /// Outcomes reported before the end, first answer per index; they stand even if `result` is an
    /// error.
    pub reported: Vec<(u32, Outcome)>,
    /// The guest's lines, bounded and redacted.
    pub logs: Vec<LogLine>,
    /// Microseconds that the guest computed.
    pub cpu_us: u64,
    /// The instance had served before.
    pub reused_instance: bool,
}

/// How `deliver` and `reconcile` end: `result` holds the outcomes that were not reported before,
/// each index once.
pub type DeliveryEnd = CallEnd<Vec<(u32, Outcome)>>;

/// One line that the guest wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
    /// The item that it is about; none: every item of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attrs: Vec<(String, String)>,
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
