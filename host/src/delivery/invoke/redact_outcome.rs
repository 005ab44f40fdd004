//! Masks secrets in the texts of a connector's outcomes, errors and findings before a history or a
//! person sees them.

use egression_core::domain::object::Remote;
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;

use crate::gate::CallGate;
use crate::runtime::call::Findings;

/// The outcome without the secrets of the call.
pub fn outcome(gate: &CallGate, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Delivered {
            remotes,
            changed,
            warnings,
        } => Outcome::Delivered {
            remotes: remotes.into_iter().map(|one| remote(gate, one)).collect(),
            changed,
            warnings: warnings.into_iter().map(|one| problem(gate, one)).collect(),
        },
        Outcome::Rejected(one) => Outcome::Rejected(problem(gate, one)),
        Outcome::Unknown(one) => Outcome::Unknown(problem(gate, one)),
        Outcome::Retryable {
            after_ms,
            problem: one,
        } => Outcome::Retryable {
            after_ms,
            problem: problem(gate, one),
        },
        Outcome::Throttled {
            bucket,
            retry_after_ms,
            problem: one,
        } => Outcome::Throttled {
            bucket,
            retry_after_ms,
            problem: one.map(|one| problem(gate, one)),
        },
        Outcome::Conflict(one) => Outcome::Conflict(remote(gate, one)),
        // A token goes back to the destination; masked, it would be useless.
        same @ (Outcome::Accepted { .. } | Outcome::BlockedOn(_) | Outcome::NotAttempted) => same,
    }
}

/// The error without the secrets of the call.
pub fn error(gate: &CallGate, error: CallError) -> CallError {
    match error {
        CallError::AuthExpired(one) => CallError::AuthExpired(problem(gate, one)),
        CallError::AuthRejected(one) => CallError::AuthRejected(problem(gate, one)),
        CallError::SettingsInvalid(one) => CallError::SettingsInvalid(problem(gate, one)),
        CallError::Throttled {
            bucket,
            retry_after_ms,
            problem: one,
        } => CallError::Throttled {
            bucket,
            retry_after_ms,
            problem: one.map(|one| problem(gate, one)),
        },
        CallError::Unavailable {
            after_ms,
            problem: one,
        } => CallError::Unavailable {
            after_ms,
            problem: problem(gate, one),
        },
        CallError::BatchRefused(one) => CallError::BatchRefused(problem(gate, one)),
        CallError::Unsupported(one) => CallError::Unsupported(problem(gate, one)),
        CallError::Internal(one) => CallError::Internal(problem(gate, one)),
        CallError::NotRun(one) => CallError::NotRun(problem(gate, one)),
        CallError::Trapped(one) => CallError::Trapped(problem(gate, one)),
    }
}

/// The findings without the secrets of the call.
pub fn findings(gate: &CallGate, found: Findings) -> Findings {
    Findings {
        account: found.account.map(|text| gate.redact(&text)),
        scopes: found
            .scopes
            .into_iter()
            .map(|text| gate.redact(&text))
            .collect(),
        remarks: found
            .remarks
            .into_iter()
            .map(|one| problem(gate, one))
            .collect(),
    }
}

fn problem(gate: &CallGate, one: Problem) -> Problem {
    let mask = |text: Option<String>| text.map(|text| gate.redact(&text));
    Problem {
        code: gate.redact(&one.code),
        message: gate.redact(&one.message),
        pointer: mask(one.pointer),
        http_status: one.http_status,
        destination_code: mask(one.destination_code),
        link: mask(one.link),
    }
}

fn remote(gate: &CallGate, one: Remote) -> Remote {
    Remote {
        url: one.url.map(|url| gate.redact(&url)),
        ..one
    }
}
