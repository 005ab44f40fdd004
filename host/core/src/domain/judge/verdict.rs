//! The verdict on one item.

use crate::domain::action::Action;
use crate::domain::object::{ObjectKey, Remote};
use crate::domain::problem::Problem;
use crate::domain::waiting::WaitingKind;

/// What becomes of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded {
        /// What it became; empty: nothing new is known.
        remotes: Vec<Remote>,
        /// False: it was there already, the same.
        changed: bool,
        warnings: Vec<Problem>,
        /// The object is gone there: its id-map entry goes, too.
        drop_id_map: bool,
    },
    /// Ends as `rejected`, or blocks its key if the channel says so.
    Rejected(Problem),
    /// The attempts are used up: `failed` with `retries_exhausted`, or blocked if the channel says
    /// so.
    Exhausted {
        /// What the last attempt met.
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
    /// What it waits for; none: nothing of its own (a limit may close by `close_limit`).
    pub reason: Option<WaitingKind>,
    /// Not before this much time, in milliseconds.
    pub after_ms: u64,
    pub attempt_spent: bool,
    /// Counts as a conflict handed back.
    pub conflict: bool,
    /// The next send is of the same bytes with the same key: this or an earlier one may have been
    /// applied.
    pub keep_pinned: bool,
    /// The answer to this or an earlier send of these bytes is still missing.
    pub answer_lost: bool,
    pub problem: Option<Problem>,
    /// Closes this limit (none: the connection's own) for so many milliseconds.
    pub close_limit: Option<(Option<String>, u64)>,
    /// The objects that must be there first.
    pub parents: Vec<ObjectKey>,
    /// From now on the job is this action, and its id-map entry is dropped.
    pub act_as: Option<Action>,
    /// The next call with this item is at most half as large.
    pub halve: bool,
    /// The version that the destination holds, to be handed over with the next send.
    pub there: Option<Remote>,
    /// The destination refused the token or session that was used: it is dropped, if it is still
    /// that generation.
    pub credential_refused: bool,
}
