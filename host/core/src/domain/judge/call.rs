//! The verdict on a call that ended with an error instead of outcomes, for its unsettled items and
//! for the connection. Items that were settled before the error keep their outcome.

use super::bounds::{RETRY_AFTER_MAX_MS, THROTTLE_MIN_MS};
use super::input::JudgeInput;
use super::item::judge;
use super::lost_answer::{missing_outcome, unanswered};
use super::verdict::{Again, Verdict};
use crate::domain::outcome::{CallError, Evidence, Outcome};
use crate::domain::problem::Problem;
use crate::domain::waiting::WaitingKind;

/// The input of the verdict on a call, besides its error.
#[derive(Clone, Copy, Debug)]
pub struct CallFrame {
    /// The gate's evidence of the call.
    pub evidence: Evidence,
    /// Items in the call as it was sent.
    pub batch_size: u32,
    /// The credential of the call.
    pub credential: Credential,
    /// No call has succeeded with this session or token yet.
    pub credential_fresh: bool,
}

/// How a refused credential can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The connector's own session: it can open another one.
    Session,
    /// A token that the host fetched: it can fetch another one.
    Token,
    /// A secret that a person entered, or none: only a person can change it.
    Entered,
}

/// The verdict on a call error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallVerdict {
    /// For each item that was not settled before.
    pub unsettled: Unsettled,
    pub connection: ConnectionEffect,
    /// The guest is at fault: its breaker counts this.
    pub guest_failed: bool,
    pub problem: Option<Problem>,
}

/// The verdict on an item that the call left unsettled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// It is judged as if the connector had reported this outcome.
    Judged(Outcome),
    /// It goes again without spending an attempt, held back by the connection's effect or by a
    /// backoff.
    Waits,
}

/// The effect on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionEffect {
    None,
    /// The next call opens a new session or fetches a new token.
    Renew,
    /// The credential or the settings are refused. Nothing is sent until `check` passes.
    Park(Problem),
    /// The destination does not answer properly. The circuit counts this.
    Unavailable {
        /// It named a time: the connection's own limit closes for this many milliseconds, so that
        /// nothing is sent before.
        not_before_ms: Option<u64>,
    },
    CloseLimit {
        /// The limit; none: the connection's own.
        bucket: Option<String>,
        /// The duration, in milliseconds.
        ms: u64,
    },
}

/// Judges the error of a call.
///
/// Throttled, unavailable and a refused batch promise that nothing was applied, and a refused
/// credential implies it. But if the gate saw a write without an answer, the unsettled items are
/// `unknown`, whatever the connector reports.
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
        // Missing room on the host says nothing about the destination.
        CallError::NotRun(p) => CallVerdict {
            problem: Some(p),
            ..waits
        },
        // The caller sends its halves at once.
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
                // Nothing else holds it back, and the circuit needs more failures to open.
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

    /// Replaces "not attempted" by the guest's failure, which explains more.
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

/// A session or token that worked before is renewed. One that never worked would be refused again
/// at once. A secret that a person entered stays refused until a person acts, or the destination
/// accepts it again.
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
    /// The credential was refused for the whole call, but the connection works: an item of the call
    /// is at fault.
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
