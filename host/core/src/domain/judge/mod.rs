//! What follows from an outcome: the connector's word, the channel's rules and the gate's evidence,
//! made one verdict.
//!
//! In this order: the gate's evidence where the connector's word contradicts it; the connector's
//! word; for `rejected` and `retryable` only, the channel's rules; for those two, the host's own
//! table where the problem passes an HTTP status through. `unknown` never becomes anything better
//! by a status. A pure decision: the caller moves the job, the key, the connection and the limits
//! accordingly, and decides about `on_exhausted` and `on_rejected`.

mod call;
mod item;
mod lost_answer;
mod rules;
mod status;
#[cfg(test)]
mod tests;

pub use call::{
    CallFrame, CallVerdict, ConnectionEffect, Credential, Unsettled, judge_call, missing_outcome,
};
pub use item::judge;
pub use lost_answer::{Followed, LostInput, judge_lost};
pub use rules::{RuleEffect, rule_for};
pub use status::{
    StatusAnswer, StatusMeaning, outcome_from_status, retry_after_ms, status_meaning,
};

use super::action::Action;
use super::object::{ObjectKey, Remote};
use super::outcome::{Evidence, Outcome};
use super::problem::Problem;
use super::retry::RetryRules;
use super::waiting::WaitingKind;

/// How often a conflict is handed back at once; the next ones count as transient.
pub const CONFLICTS_AT_ONCE: u32 = 3;
/// The longest wait, in milliseconds, that a destination or connector can ask for; a longer one is
/// cut to this.
pub const RETRY_AFTER_MAX_MS: u64 = 31 * 86_400_000;
/// The shortest closure, in milliseconds, after a throttle; a shorter one is lengthened to this, so
/// that a throttle without a time is no busy loop.
pub const THROTTLE_MIN_MS: u64 = 100;
/// The closure, in milliseconds, after a status 429 that does not say for how long.
pub const THROTTLE_DEFAULT_MS: u64 = 1000;

/// The code of a problem: the answer to a send was lost.
pub const CODE_ANSWER_LOST: &str = "answer.lost";
/// The code of a problem: the connector ended a call without sending the item.
pub const CODE_NOT_ATTEMPTED: &str = "call.not_attempted";
/// The code of a problem: the destination holds a newer version, again and again.
pub const CODE_CONFLICT: &str = "conflict";
/// The code of a problem: a connector said `blocked-on` and named no object.
pub const CODE_BLOCKED_ON_NOTHING: &str = "blocked_on.nothing";
/// The code of a problem with which the caller ends an accepted job as `unknown` as long as nothing
/// polls.
pub const CODE_ACCEPTED_NO_POLL: &str = "accepted.no_poll";

/// All that a verdict on one item depends on.
#[derive(Clone, Debug)]
pub struct JudgeInput<'a> {
    pub action: Action,
    /// The manifest calls this action idempotent.
    pub idempotent: bool,
    /// The connector does `upsert` for this type.
    pub declares_upsert: bool,
    /// The connector can be asked whether a send arrived whose answer was lost: nothing is decided
    /// before it was.
    pub reconciles: bool,
    pub rules: &'a RetryRules,
    /// The connector's word, or the host's in its place.
    pub outcome: Outcome,
    /// What the gate saw of the call.
    pub evidence: Evidence,
    /// Attempts spent before this one.
    pub attempts_before: u32,
    pub conflicts_before: u32,
    /// The answer to an earlier send of these bytes was lost.
    pub answer_lost_before: bool,
    /// An earlier send of these bytes may have been applied, so they were kept.
    pub pinned_before: bool,
    /// Items in the call as it was sent.
    pub batch_size: u32,
    /// Some item of the call got an outcome other than `not-attempted`.
    pub advanced: bool,
    /// The guest trapped, or says that it is at fault ([`CallVerdict::guest_failed`]).
    pub guest_failed: bool,
    /// What was found out about the credential after the call.
    pub credential: CredentialCheck,
    /// Uniform in 0..1, drawn once per call, so that the items of a call stay together.
    pub draw: f64,
}

/// Where the destination answered 401 or 403: whose fault it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialCheck {
    /// Nobody looked: a 401 is the credential's, a 403 the item's.
    #[default]
    NotMade,
    /// The connection works: it is the item's.
    Works,
    /// It does not: it is the credential's.
    Refused,
}

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
