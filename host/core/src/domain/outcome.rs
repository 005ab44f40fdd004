//! A connector's report on an item or a call, before the host judges it.

use super::object::{ObjectKey, Remote};
use super::problem::Problem;

/// The connector's report on one item. The meanings are those of the contract (`wit/`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered {
        remotes: Vec<Remote>,
        /// False: the destination had the same object already.
        changed: bool,
        warnings: Vec<Problem>,
    },
    Accepted {
        token: String,
        again_after_ms: Option<u64>,
    },
    Rejected(Problem),
    /// It may work later; it may have been applied.
    Retryable {
        /// Not before this much time.
        after_ms: Option<u64>,
        problem: Problem,
    },
    /// Not applied: a limit is exhausted.
    Throttled {
        /// The limit; `None`: the connection's own.
        bucket: Option<String>,
        /// Not before this much time.
        retry_after_ms: u64,
        problem: Option<Problem>,
    },
    /// Not applied: these objects must exist first.
    BlockedOn(Vec<ObjectKey>),
    /// Not applied: the destination has a newer version.
    Conflict(Remote),
    /// It may or may not have been applied.
    Unknown(Problem),
    /// Nothing was sent for it.
    NotAttempted,
}

/// A call that ended with an error instead of outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The token or session expired.
    AuthExpired(Problem),
    AuthRejected(Problem),
    SettingsInvalid(Problem),
    /// A limit is exhausted; nothing was applied.
    Throttled {
        /// The limit; `None`: the connection's own.
        bucket: Option<String>,
        /// Not before this much time.
        retry_after_ms: u64,
        problem: Option<Problem>,
    },
    /// The destination is down; nothing was applied.
    Unavailable {
        /// Not before this much time.
        after_ms: Option<u64>,
        problem: Problem,
    },
    /// The request was refused as a whole and nothing was applied. The host sends the halves.
    BatchRefused(Problem),
    /// The connector cannot do this.
    Unsupported(Problem),
    /// The connector reports its own failure.
    Internal(Problem),
    /// The host had no room to run the connector, so nothing was sent. Only the host reports this.
    NotRun(Problem),
    /// The guest trapped, or ran out of CPU budget, memory or time. Only the host reports this.
    Trapped(Problem),
}

/// What the gate saw of a call. This evidence outweighs the guest's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// A request that may change something left the host.
    pub write_left: bool,
    /// The answer to such a request was lost.
    pub answer_lost: bool,
    /// Any request left the host.
    pub anything_left: bool,
}
