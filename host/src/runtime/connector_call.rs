//! One call of a connector in the host's own types: its arguments and its results.

use std::sync::Arc;

use egression_core::domain::action::Action;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::time::{Mono, Wall};
use serde::Serialize;

use crate::runtime::guest_abilities::Abilities;

/// The arguments that every call has.
#[derive(Clone)]
pub struct Call {
    /// The guest's abilities, bound to the connection of this call.
    pub abilities: Arc<dyn Abilities>,
    pub connection: ConnectionFrame,
    /// The session that `authenticate` returned, if there is one.
    pub session: Option<Session>,
}

/// The connection and the bounds of one call.
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

/// The result of `authenticate`: opaque, and stored encrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    pub data: Vec<u8>,
    /// The session is not used after this time.
    pub expires_at: Option<Wall>,
    pub account: Option<String>,
}

/// The contract's bound on the bytes of a session.
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
    /// Identifies the item within this call.
    pub index: u32,
    pub job_id: String,
    pub object: ObjectKey,
    /// One of the actions that the connector declares.
    pub action: Action,
    /// JSON text; none for a delete.
    pub body: Option<String>,
    /// The source's revision, or the number of the delivery if the source has none.
    pub revision: Option<u64>,
    /// The same for every repeat of the same bytes.
    pub idempotency_key: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The known remote ids of the object. Empty means unknown.
    pub remotes: Vec<Remote>,
    /// The references in the body, with their remote ids.
    pub references: Vec<ResolvedReference>,
}

/// A reference in a body, with the known remote ids of its target.
#[derive(Clone, Debug)]
pub struct ResolvedReference {
    /// Where it is in the body.
    pub pointer: String,
    pub target: ObjectKey,
    pub remotes: Vec<Remote>,
}

/// A submission that the destination accepted and has not decided yet.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The destination's name for it.
    pub token: String,
    pub submitted_at: Wall,
    /// The items that wait for it.
    pub items: Vec<Item>,
}

/// The destination's answer about a pending submission.
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
    /// The scopes granted to the credential.
    pub scopes: Vec<String>,
    /// Problems that do not stop the connection from working.
    pub remarks: Vec<Problem>,
}

/// The end of a call, with or without a result.
#[derive(Clone, Debug)]
pub struct CallEnd<T> {
    /// The guest's result, or the reason why there is none.
    pub result: Result<T, CallError>,
    /// Outcomes reported before the end, one per item. They are valid even if `result` is an error.
    pub reported: Vec<(u32, Outcome)>,
    /// The guest's log lines, bounded and redacted.
    pub logs: Vec<LogLine>,
    /// Microseconds that the guest computed.
    #[cfg_attr(not(test), expect(dead_code, reason = "evidence for tests"))]
    pub cpu_us: u64,
    /// Whether the instance had served an earlier call.
    #[cfg_attr(not(test), expect(dead_code, reason = "evidence for tests"))]
    pub reused_instance: bool,
}

impl<T> CallEnd<T> {
    /// The end of a call that never reached a guest.
    pub const fn failed(error: CallError) -> Self {
        Self {
            result: Err(error),
            reported: Vec::new(),
            logs: Vec::new(),
            cpu_us: 0,
            reused_instance: false,
        }
    }
}

/// The end of `deliver` and `reconcile`. `result` holds the outcomes that were not reported before,
/// one per item.
pub type DeliveryEnd = CallEnd<Vec<(u32, Outcome)>>;

/// A log line of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
    /// The item that the line is about; none means all items of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attrs: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
