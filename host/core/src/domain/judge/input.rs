//! The input of a verdict on one item.

use crate::domain::action::Action;
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::retry::RetryRules;

/// Everything that a verdict on one item depends on.
#[derive(Clone, Debug)]
pub struct JudgeInput<'a> {
    pub action: Action,
    /// The manifest calls this action idempotent.
    pub idempotent: bool,
    /// The connector does `upsert` for this type.
    pub declares_upsert: bool,
    /// The connector can tell whether a send with a lost answer arrived. It is asked before
    /// anything is decided.
    pub reconciles: bool,
    pub rules: &'a RetryRules,
    /// The connector's outcome, or the host's own instead of it.
    pub outcome: Outcome,
    /// The gate's evidence of the call.
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
    /// The guest trapped, or reported its own failure
    /// ([`CallVerdict::guest_failed`](super::CallVerdict::guest_failed)).
    pub guest_failed: bool,
    /// The result of a check of the credential after the call.
    pub credential: CredentialCheck,
    /// Uniform in 0..1, drawn once per call, so that the items of a call stay together.
    pub draw: f64,
}

/// After a 401 or 403: whether the item or the credential is at fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialCheck {
    /// No check was made: a 401 is the credential's fault, a 403 the item's.
    #[default]
    NotMade,
    /// The connection works: the item is at fault.
    Works,
    /// The connection does not work: the credential is at fault.
    Refused,
}
