//! The rule for lost answers: a write left the host, and nobody knows whether it was applied.
//!
//! 1. The gate's evidence shows the lost answer, whatever the connector says of the item.
//! 2. After the call, the job waits for its repeat if the action is idempotent, or if the connector
//!    can tell whether the write arrived. Otherwise it ends as `unknown`.
//! 3. Before the repeat, a connector that can tell is asked. A write that arrived is settled. One
//!    that did not arrive is sent again. If the connector does not know, the job is repeated if the
//!    action is idempotent; otherwise it ends as `unknown`.
//! 4. Once the attempts are used up, a job with a missing answer ends as `unknown`, not `failed`.

use super::codes::CODE_ANSWER_LOST;
use super::input::JudgeInput;
use super::verdict::Verdict;
use crate::domain::action::Action;
use crate::domain::outcome::{Evidence, Outcome};
use crate::domain::problem::Problem;
use crate::domain::retry::RetryRules;

/// The outcome of an item that the gate's evidence contradicts, or that a call says nothing about:
/// `unknown` if a write left the host in the call, otherwise `not-attempted`. Never success.
pub fn missing_outcome(evidence: Evidence) -> Outcome {
    if evidence.answer_lost {
        return unanswered();
    }
    if evidence.write_left {
        let message =
            "A write left in this call, and the connector did not report the item's outcome.";
        return Outcome::Unknown(lost(message));
    }
    Outcome::NotAttempted
}

/// The outcome of each unsettled item of a call whose write got no answer.
pub(super) fn unanswered() -> Outcome {
    Outcome::Unknown(lost("A write left in this call and its answer was lost."))
}

/// The connector says that it sent nothing in the whole call, and a write left without an answer.
pub(super) fn hidden_by_not_attempted(input: &JudgeInput<'_>) -> Option<Problem> {
    let message =
        "A write left and its answer was lost, but the connector reports that it sent nothing.";
    (input.evidence.answer_lost && !input.advanced).then(|| lost(message))
}

/// The connector calls the item retryable and shows no answer, and a write left without one.
pub(super) const fn hidden_by_retryable(input: &JudgeInput<'_>, problem: &Problem) -> bool {
    input.evidence.answer_lost && problem.http_status.is_none()
}

/// After a call with a lost answer: the job may wait for its repeat.
pub(super) const fn may_be_followed_up(input: &JudgeInput<'_>) -> bool {
    input.idempotent || input.reconciles
}

/// After the last attempt, while an answer to these bytes is missing. `None`: the connector is
/// asked first.
pub(super) fn used_up(input: &JudgeInput<'_>, mut problem: Problem) -> Option<Verdict> {
    if input.reconciles {
        return None;
    }
    if problem.code != CODE_ANSWER_LOST {
        problem.message = format!(
            "The answer to a send was lost and all repeats are used up. The last problem: {}",
            problem.message
        );
    }
    Some(Verdict::Unknown(problem))
}

/// A job whose answer was lost, when its next send is due.
#[derive(Clone, Debug)]
pub struct LostAnswer<'a> {
    pub action: Action,
    /// The manifest calls this action idempotent.
    pub idempotent: bool,
    pub rules: &'a RetryRules,
    /// Attempts spent, the lost one included.
    pub attempts: u32,
    /// The connector's finding; `None`: it cannot tell, or was not asked.
    pub found: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterLostAnswer {
    /// The job ends: `Succeeded`, `Exhausted` or `Unknown`.
    Ends(Box<Verdict>),
    /// The same bytes are sent again under the same key.
    Repeats {
        /// It is still not known whether they arrived before.
        answer_lost: bool,
    },
}

/// Judges a lost answer before the next send.
pub fn judge_lost_answer(input: LostAnswer<'_>) -> AfterLostAnswer {
    let used_up = input.attempts >= input.rules.attempts.max(1);
    match input.found {
        Some(Outcome::Delivered {
            remotes,
            changed,
            warnings,
        }) => ends(Verdict::Succeeded {
            remotes,
            changed,
            warnings,
            drop_id_map: input.action == Action::Delete,
        }),
        Some(Outcome::NotAttempted) if used_up => ends(Verdict::Exhausted {
            problem: lost("The last send did not arrive, and all attempts are used up."),
        }),
        Some(Outcome::NotAttempted) => AfterLostAnswer::Repeats { answer_lost: false },
        _ if !input.idempotent => {
            let message = "The answer to a send was lost. It is not known whether the send \
                           arrived, and a repeat could do harm.";
            ends(Verdict::Unknown(lost(message)))
        }
        _ if used_up => ends(Verdict::Unknown(lost(
            "The answer to a send was lost, and all repeats are used up.",
        ))),
        _ => AfterLostAnswer::Repeats { answer_lost: true },
    }
}

fn ends(verdict: Verdict) -> AfterLostAnswer {
    AfterLostAnswer::Ends(Box::new(verdict))
}

fn lost(message: &str) -> Problem {
    Problem::new(CODE_ANSWER_LOST, message)
}
