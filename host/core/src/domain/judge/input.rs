//! What a verdict on one item depends on.

use crate::domain::action::Action;
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::retry::RetryRules;

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
    /// The guest trapped, or says that it is at fault ([`CallVerdict::guest_failed`](super::CallVerdict::guest_failed)).
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
