//! The verdict on a call that ended with an error instead of outcomes: what its unsettled items
//! get, and what it means for the connection. Items that were settled before the end keep their
//! outcome.

use super::bounds::{RETRY_AFTER_MAX_MS, THROTTLE_MIN_MS};
use super::input::JudgeInput;
use super::item::judge;
use super::lost_answer::{missing_outcome, unanswered};
use super::verdict::{Again, Verdict};
use crate::domain::outcome::{CallError, Evidence, Outcome};
use crate::domain::problem::Problem;
use crate::domain::waiting::WaitingKind;

/// What the verdict on a call depends on, besides its error.
#[derive(Clone, Copy, Debug)]
pub struct CallFrame {
    /// What the gate saw of the call.
    pub evidence: Evidence,
    /// Items in the call as it was sent.
    pub batch_size: u32,
    /// What the call carried to show whose it is.
    pub credential: Credential,
    /// No call has succeeded with this session or token yet.
    pub credential_fresh: bool,
}

/// What can be done about a credential that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The connector's own session: another one can be made.
    Session,
    /// A token that the host fetched: another one can be fetched.
    Token,
    /// What a person entered, or nothing: only a person can change it.
    Entered,
}

/// What a call error means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallVerdict {
    /// For each item that was not settled before.
    pub unsettled: Unsettled,
    pub connection: ConnectionEffect,
    /// The guest is at fault: its breaker counts this.
    pub guest_failed: bool,
    pub problem: Option<Problem>,
}

/// What an item gets that a call left unsettled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// It is judged as if the connector had said this.
    Judged(Outcome),
    /// It goes again without spending an attempt. The connection's effect holds it back, or else a
    /// backoff.
    Waits,
}

/// What happens to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEffect {
    None,
    /// The session or token is made anew with the next call.
    Renew,
    /// The credential or the settings are refused: nothing is sent until `check` passes.
    Park(Problem),
    /// The destination does not answer as it should: its circuit counts this.
    Unavailable {
        /// It named a time: the connection's own limit closes for so many milliseconds, so that
        /// nothing is sent before.
        not_before_ms: Option<u64>,
    },
    CloseLimit {
        /// The limit; none: the connection's own.
        bucket: Option<String>,
        /// For so many milliseconds.
        ms: u64,
    },
}

/// Judges the error of a call.
///
/// Throttled, unavailable and a refused batch promise that nothing was applied, and a refused
/// credential implies it; but where the gate saw a write whose answer was lost, the unsettled items
/// are `unknown` whatever the connector says.
#[must_use]
pub fn judge_call(error: CallError, frame: CallFrame) -> CallVerdict {
    let waits = CallVerdict {
        unsettled: Unsettled::Waits,
        connection: ConnectionEffect::None,
        guest_failed: false,
        problem: None,
    };
    let mut verdict = match error {
        CallError::AuthExpired(p) => CallVerdict {
            connection: expired(frame, &p),
            problem: Some(p),
            ..waits
        },
        CallError::AuthRejected(p) | CallError::SettingsInvalid(p) => CallVerdict {
            connection: ConnectionEffect::Park(p.clone()),
            problem: Some(p),
            ..waits
        },
        CallError::Throttled {
            bucket,
            retry_after_ms,
            problem,
        } => {
            let ms = retry_after_ms.clamp(THROTTLE_MIN_MS, RETRY_AFTER_MAX_MS);
            CallVerdict {
                connection: ConnectionEffect::CloseLimit { bucket, ms },
                problem,
                ..waits
            }
        }
        CallError::Unavailable { after_ms, problem } => {
            let not_before_ms = after_ms
                .filter(|ms| *ms > 0)
                .map(|ms| ms.min(RETRY_AFTER_MAX_MS));
            CallVerdict {
                connection: ConnectionEffect::Unavailable { not_before_ms },
                problem: Some(problem),
                ..waits
            }
        }
        // The host's own want of room says nothing about the destination.
        CallError::NotRun(p) => CallVerdict {
            problem: Some(p),
            ..waits
        },
        // Its halves go at once; that is the caller's to do.
        CallError::BatchRefused(p) if frame.batch_size > 1 => CallVerdict {
            problem: Some(p),
            ..waits
        },
        CallError::BatchRefused(p) | CallError::Unsupported(p) => CallVerdict {
            unsettled: Unsettled::Judged(Outcome::Rejected(p.clone())),
            problem: Some(p),
            ..waits
        },
        CallError::Internal(p) | CallError::Trapped(p) => CallVerdict {
            unsettled: Unsettled::Judged(missing_outcome(frame.evidence)),
            guest_failed: true,
            problem: Some(p),
            ..waits
        },
    };
    if frame.evidence.answer_lost {
        verdict.unsettled = Unsettled::Judged(unanswered());
    }
    verdict
}

impl CallVerdict {
    /// Judges one unsettled item. The outcome and `guest_failed` of `input` are taken from this
    /// verdict.
    #[must_use]
    pub fn judge(&self, input: JudgeInput<'_>) -> Verdict {
        match &self.unsettled {
            Unsettled::Judged(outcome) => {
                let verdict = judge(JudgeInput {
                    outcome: outcome.clone(),
                    guest_failed: self.guest_failed,
                    ..input
                });
                self.explained(verdict)
            }
            Unsettled::Waits => {
                // Nothing else holds it back, and the circuit takes a while to open.
                let held = self.connection
                    != ConnectionEffect::Unavailable {
                        not_before_ms: None,
                    };
                let after_ms = if held {
                    0
                } else {
                    input.rules.backoff_ms(
                        input.attempts_before.saturating_add(1),
                        None,
                        input.draw,
                    )
                };
                Verdict::Again(Again {
                    reason: (!held).then_some(WaitingKind::Retry),
                    after_ms,
                    keep_pinned: input.pinned_before || input.answer_lost_before,
                    answer_lost: input.answer_lost_before,
                    problem: self.problem.clone(),
                    ..Again::default()
                })
            }
        }
    }

    /// A guest's failure explains more than 'not attempted' does.
    fn explained(&self, mut verdict: Verdict) -> Verdict {
        if let (true, Some(cause)) = (self.guest_failed, &self.problem) {
            match &mut verdict {
                Verdict::Exhausted { problem }
                | Verdict::Again(Again {
                    problem: Some(problem),
                    ..
                }) => *problem = cause.clone(),
                Verdict::Unknown(problem) => {
                    problem.message = format!("{} The call: {}", problem.message, cause.message)
                }
                _ => {}
            }
        }
        verdict
    }
}

/// A session or token that was good is made anew; one that never was would be refused again at
/// once. What a person entered stays refused until a person acts, or the destination thinks better
/// of it.
fn expired(frame: CallFrame, problem: &Problem) -> ConnectionEffect {
    match (frame.credential, frame.credential_fresh) {
        (Credential::Entered, _) => ConnectionEffect::Park(problem.clone()),
        (_, true) => ConnectionEffect::Unavailable {
            not_before_ms: None,
        },
        (Credential::Session | Credential::Token, false) => ConnectionEffect::Renew,
    }
}

impl CallVerdict {
    /// The credential was refused to the whole call, and the connection works: some item of the
    /// call is at fault.
    #[must_use]
    pub fn of_items(mut self) -> Self {
        if let (Unsettled::Waits, Some(problem)) = (&self.unsettled, &self.problem) {
            let refused = Problem {
                http_status: Some(401),
                ..problem.clone()
            };
            self.unsettled = Unsettled::Judged(Outcome::Retryable {
                after_ms: None,
                problem: refused,
            });
            self.connection = ConnectionEffect::None;
        }
        self
    }
}
