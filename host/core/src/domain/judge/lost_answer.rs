//! What follows for bytes whose answer was lost, when their next send is due.
//!
//! Where the connector can tell, it was asked first: what arrived is settled, what did not arrive
//! was not applied, and for the rest the rules hold that hold without asking: repeated where that
//! does no harm, else left to a person.

use super::{CODE_ANSWER_LOST, Verdict};
use crate::domain::action::Action;
use crate::domain::outcome::Outcome;
use crate::domain::problem::Problem;
use crate::domain::retry::RetryRules;

/// All that the decision depends on.
#[derive(Clone, Debug)]
pub struct LostInput<'a> {
    pub action: Action,
    /// The manifest calls this action idempotent.
    pub idempotent: bool,
    pub rules: &'a RetryRules,
    /// Attempts spent, the lost one included.
    pub attempts: u32,
    /// What the connector found out; none: it cannot tell, or was not asked.
    pub found: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The job ends: `Succeeded`, `Exhausted` or `Unknown`.
    Ends(Box<Verdict>),
    /// The same bytes are sent again under the same key.
    Repeats {
        /// It is still not known whether they arrived before.
        answer_lost: bool,
    },
}

/// Decides about a job whose answer was lost.
#[must_use]
pub fn judge_lost(input: LostInput<'_>) -> Followed {
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
        Some(Outcome::NotAttempted) => Followed::Repeats { answer_lost: false },
        _ if !input.idempotent => {
            let message = "The answer to a send was lost, nobody can tell whether it arrived, and to repeat it could do harm.";
            ends(Verdict::Unknown(lost(message)))
        }
        _ if used_up => ends(Verdict::Unknown(lost(
            "The answer to a send was lost, and all repeats are used up.",
        ))),
        _ => Followed::Repeats { answer_lost: true },
    }
}

fn ends(verdict: Verdict) -> Followed {
    Followed::Ends(Box::new(verdict))
}

fn lost(message: &str) -> Problem {
    Problem::new(CODE_ANSWER_LOST, message)
}
