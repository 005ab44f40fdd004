//! The verdict on one item.

use crate::domain::action::Action;
use crate::domain::object::{ObjectKey, Remote};
use crate::domain::problem::Problem;
use crate::domain::waiting::WaitingKind;

/// The next step of a job after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded {
        /// The remotes of the object; empty: nothing new is known.
        remotes: Vec<Remote>,
        /// False: the destination had the same object already.
        changed: bool,
        warnings: Vec<Problem>,
        /// The destination has no such object: its id-map entry is dropped.
        drop_id_map: bool,
    },
    /// Ends as `rejected`, or blocks its key if the channel says so.
    Rejected(Problem),
    /// The attempts are used up: it ends as `failed` with `retries_exhausted`, or blocks its key if
    /// the channel says so.
    Exhausted {
        /// The problem of the last attempt.
        problem: Problem,
    },
    /// Ends as `unknown` and blocks its key.
    Unknown(Problem),
    Accepted {
        token: String,
        again_after_ms: Option<u64>,
    },
    Again(Again),
}

/// How a job goes again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// Its reason to wait; `None`: none of its own (`close_limit` may close a limit).
    pub reason: Option<WaitingKind>,
    /// Not before this much time, in milliseconds.
    pub after_ms: u64,
    pub attempt_spent: bool,
    /// Counts as a conflict handed back.
    pub conflict: bool,
    /// The next send repeats the same bytes with the same key: this or an earlier send may have
    /// been applied.
    pub keep_pinned: bool,
    /// The answer to this or an earlier send of these bytes is still missing.
    pub answer_lost: bool,
    pub problem: Option<Problem>,
    /// Closes this limit (`None`: the connection's own) for this many milliseconds.
    pub close_limit: Option<(Option<String>, u64)>,
    /// The objects that must exist first.
    pub parents: Vec<ObjectKey>,
    /// The job becomes this action, and its id-map entry is dropped.
    pub act_as: Option<Action>,
    /// The next call with this item is at most half as large.
    pub halve: bool,
    /// The version at the destination, for the next send.
    pub there: Option<Remote>,
    /// The destination refused the token or session. It is dropped if it still has the same
    /// generation.
    pub credential_refused: bool,
}
