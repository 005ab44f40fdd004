//! The verdict on one item.

use super::bounds::{CONFLICTS_AT_ONCE, RETRY_AFTER_MAX_MS, THROTTLE_MIN_MS};
use super::codes::{CODE_BLOCKED_ON_NOTHING, CODE_CONFLICT, CODE_NOT_ATTEMPTED};
use super::input::{CredentialCheck, JudgeInput};
use super::lost_answer;
use super::rules::{RuleEffect, rule_for};
use super::status::{StatusMeaning, status_meaning};
use super::verdict::{Again, Verdict};
use crate::domain::action::Action;
use crate::domain::object::Remote;
use crate::domain::outcome::Outcome;
use crate::domain::problem::Problem;
use crate::domain::waiting::WaitingKind;

/// Judges one item of a call. For items that a call error left unsettled use
/// [`CallVerdict::judge`](super::CallVerdict::judge).
pub fn judge(mut input: JudgeInput<'_>) -> Verdict {
    let outcome = std::mem::replace(&mut input.outcome, Outcome::NotAttempted);
    let case = Case { input };
    match outcome {
        Outcome::Delivered {
            remotes,
            changed,
            warnings,
        } => case.succeeded(remotes, changed, warnings),
        Outcome::Accepted {
            token,
            again_after_ms,
        } => Verdict::Accepted {
            token,
            again_after_ms,
        },
        Outcome::Rejected(problem) => case.rejected(problem),
        Outcome::Retryable { after_ms, problem } => case.retryable(after_ms, problem),
        Outcome::Throttled {
            bucket,
            retry_after_ms,
            problem,
        } => {
            let ms = retry_after_ms.clamp(THROTTLE_MIN_MS, RETRY_AFTER_MAX_MS);
            Verdict::Again(Again {
                close_limit: Some((bucket, ms)),
                problem,
                ..case.unspent()
            })
        }
        Outcome::BlockedOn(parents) if parents.is_empty() => {
            let problem = Problem::new(
                CODE_BLOCKED_ON_NOTHING,
                "The connector reports that other objects must exist first, but names none.",
            );
            case.transient(None, problem, Proof::NotApplied, case.unspent())
        }
        Outcome::BlockedOn(parents) => Verdict::Again(Again {
            reason: Some(WaitingKind::Dependency),
            parents,
            ..case.unspent()
        }),
        Outcome::Conflict(there) => case.conflict(there),
        Outcome::Unknown(problem) => case.answer_lost(problem),
        Outcome::NotAttempted => case.not_attempted(),
    }
}

/// The proof that an attempt gives about its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    NotApplied,
    /// None: they may have been applied.
    Nothing,
    /// None, and no answer came.
    AnswerLost,
}

struct Case<'a> {
    /// Its outcome is taken out.
    input: JudgeInput<'a>,
}

impl Case<'_> {
    fn succeeded(&self, remotes: Vec<Remote>, changed: bool, warnings: Vec<Problem>) -> Verdict {
        Verdict::Succeeded {
            remotes,
            changed,
            warnings,
            drop_id_map: self.input.action == Action::Delete,
        }
    }

    fn rejected(&self, problem: Problem) -> Verdict {
        match rule_for(self.input.rules, &problem) {
            Some(RuleEffect::Succeed) => return self.succeeded(Vec::new(), false, vec![problem]),
            Some(RuleEffect::Retry) => {
                return self.transient(None, problem, Proof::NotApplied, self.unspent());
            }
            Some(RuleEffect::Reject) => return Verdict::Rejected(problem),
            None => {}
        }
        // For 5xx and 408 the connector's outcome stands: some destinations answer business errors
        // with 500.
        match self.meaning(&problem) {
            Some(StatusMeaning::AlreadyGone) => self.succeeded(Vec::new(), false, vec![problem]),
            // An object that does not exist was not updated by an earlier send either. So the bytes
            // are free and go as another action.
            Some(StatusMeaning::MissingThere) if self.input.declares_upsert => {
                Verdict::Again(Again {
                    act_as: Some(Action::Upsert),
                    problem: Some(problem),
                    ..Again::default()
                })
            }
            Some(StatusMeaning::CredentialRefused) => self.credential_refused(problem),
            Some(StatusMeaning::Forbidden) if self.input.credential == CredentialCheck::Refused => {
                self.waits_for_credential(problem)
            }
            Some(StatusMeaning::TooLarge) if self.input.batch_size > 1 => self.too_large(problem),
            Some(StatusMeaning::Throttled | StatusMeaning::Later) => {
                self.transient(None, problem, Proof::NotApplied, self.unspent())
            }
            _ => Verdict::Rejected(problem),
        }
    }

    fn retryable(&self, after_ms: Option<u64>, problem: Problem) -> Verdict {
        if lost_answer::hidden_by_retryable(&self.input, &problem) {
            return self.answer_lost(problem);
        }
        let proof = match self.meaning(&problem) {
            None | Some(StatusMeaning::ProvesNothing | StatusMeaning::Applied) => Proof::Nothing,
            Some(_) => Proof::NotApplied,
        };
        let may_do_harm =
            proof == Proof::Nothing && self.input.evidence.write_left && !self.input.idempotent;
        match rule_for(self.input.rules, &problem) {
            Some(RuleEffect::Succeed) => return self.succeeded(Vec::new(), false, vec![problem]),
            // The operator may know that a destination's 503 or 408 means "not taken". If it
            // answered success, or the answer is not shown, nobody can know that.
            Some(RuleEffect::Retry)
                if !may_do_harm || self.meaning(&problem) == Some(StatusMeaning::ProvesNothing) =>
            {
                return self.transient(after_ms, problem, proof, self.unspent());
            }
            Some(RuleEffect::Reject) => return Verdict::Rejected(problem),
            Some(RuleEffect::Retry) | None => {}
        }
        match self.meaning(&problem) {
            Some(StatusMeaning::CredentialRefused) => self.credential_refused(problem),
            Some(StatusMeaning::TooLarge) if self.input.batch_size > 1 => self.too_large(problem),
            _ if may_do_harm => self.answer_lost(problem),
            _ => self.transient(after_ms, problem, proof, self.unspent()),
        }
    }

    fn conflict(&self, there: Remote) -> Verdict {
        let again = Again {
            conflict: true,
            there: Some(there),
            ..self.unspent()
        };
        if self.input.conflicts_before < CONFLICTS_AT_ONCE {
            return Verdict::Again(again);
        }
        let problem = Problem::new(
            CODE_CONFLICT,
            "The destination holds a newer version each time the object is sent.",
        );
        self.transient(None, problem, Proof::NotApplied, again)
    }

    fn answer_lost(&self, problem: Problem) -> Verdict {
        if !lost_answer::may_be_followed_up(&self.input) {
            return Verdict::Unknown(problem);
        }
        self.transient(
            None,
            problem,
            Proof::AnswerLost,
            Again {
                halve: self.halve_after_failure(),
                ..self.unspent()
            },
        )
    }

    fn not_attempted(&self) -> Verdict {
        if let Some(problem) = lost_answer::hidden_by_not_attempted(&self.input) {
            return self.answer_lost(problem);
        }
        if self.input.advanced && !self.input.guest_failed {
            return Verdict::Again(self.unspent());
        }
        let problem = Problem::new(
            CODE_NOT_ATTEMPTED,
            "The call ended before anything was sent for the item.",
        );
        let again = Again {
            halve: self.input.batch_size > 1,
            ..self.unspent()
        };
        self.transient(None, problem, Proof::NotApplied, again)
    }

    fn credential_refused(&self, problem: Problem) -> Verdict {
        if self.input.credential == CredentialCheck::Works {
            // This item is at fault, or another item of a call that was refused as a whole.
            let again = Again {
                halve: self.input.batch_size > 1,
                ..self.unspent()
            };
            return self.transient(None, problem, Proof::NotApplied, again);
        }
        self.waits_for_credential(problem)
    }

    fn waits_for_credential(&self, problem: Problem) -> Verdict {
        let after_ms = self.input.rules.backoff_ms(1, None, self.input.draw);
        let reason = Some(WaitingKind::Retry);
        Verdict::Again(Again {
            reason,
            after_ms,
            credential_refused: true,
            problem: Some(problem),
            ..self.unspent()
        })
    }

    fn too_large(&self, problem: Problem) -> Verdict {
        Verdict::Again(Again {
            halve: true,
            problem: Some(problem),
            ..self.unspent()
        })
    }

    /// Spends an attempt. `again` is how the job goes again if one is left.
    fn transient(
        &self,
        after_ms: Option<u64>,
        problem: Problem,
        proof: Proof,
        again: Again,
    ) -> Verdict {
        let rules = self.input.rules;
        let spent = self.input.attempts_before.saturating_add(1);
        let answer_lost = again.answer_lost || proof == Proof::AnswerLost;
        let used_up = spent >= rules.attempts.max(1);
        if used_up && !answer_lost {
            return Verdict::Exhausted { problem };
        }
        if used_up && let Some(verdict) = lost_answer::used_up(&self.input, problem.clone()) {
            return verdict;
        }
        let after_ms = after_ms.map(|ms| ms.min(RETRY_AFTER_MAX_MS));
        Verdict::Again(Again {
            reason: Some(WaitingKind::Retry),
            after_ms: rules.backoff_ms(spent, after_ms, self.input.draw),
            attempt_spent: true,
            keep_pinned: again.keep_pinned || proof != Proof::NotApplied,
            answer_lost,
            problem: Some(problem),
            ..again
        })
    }

    /// Goes again without spending an attempt. Pinned bytes stay pinned, because this send says
    /// nothing about earlier ones.
    fn unspent(&self) -> Again {
        Again {
            keep_pinned: self.input.pinned_before || self.input.answer_lost_before,
            answer_lost: self.input.answer_lost_before,
            ..Again::default()
        }
    }

    fn halve_after_failure(&self) -> bool {
        self.input.guest_failed && self.input.batch_size > 1
    }

    fn meaning(&self, problem: &Problem) -> Option<StatusMeaning> {
        problem
            .http_status
            .map(|status| status_meaning(self.input.action, status))
    }
}
