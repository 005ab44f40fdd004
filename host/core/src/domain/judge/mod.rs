//! The verdict on an item, from the connector's outcome, the channel's rules and the gate's
//! evidence.
//!
//! They apply in this order: the gate's evidence where it contradicts the connector; the
//! connector's outcome; for `rejected` and `retryable` only, the channel's rules; for those two,
//! the host's own table if the problem carries an HTTP status. No status turns `unknown` into
//! something better. The decision is pure: the caller changes the job, the key, the connection and
//! the limits accordingly, and applies `on_exhausted` and `on_rejected`.

mod bounds;
mod call;
mod codes;
mod input;
mod item;
mod lost_answer;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod verdict;

pub use bounds::{CONFLICTS_AT_ONCE, RETRY_AFTER_MAX_MS, THROTTLE_DEFAULT_MS, THROTTLE_MIN_MS};
pub use call::{CallFrame, CallVerdict, ConnectionEffect, Credential, Unsettled, judge_call};
pub use codes::{
    CODE_ACCEPTED_NO_POLL, CODE_ANSWER_LOST, CODE_BLOCKED_ON_NOTHING, CODE_CONFLICT,
    CODE_NOT_ATTEMPTED,
};
pub use input::{CredentialCheck, JudgeInput};
pub use item::judge;
pub use lost_answer::{AfterLostAnswer, LostAnswer, judge_lost_answer, missing_outcome};
pub use rules::{RuleEffect, rule_for};
pub use status::{
    StatusAnswer, StatusMeaning, outcome_from_status, retry_after_ms, status_meaning,
};
pub use verdict::{Again, Verdict};
