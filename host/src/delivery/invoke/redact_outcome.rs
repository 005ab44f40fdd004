//! Masks secrets in the texts of a connector's outcomes, errors and findings before a history or a
//! person sees them, and cuts the waits in them to the channel's `max_retry_after_ms`.

use egression_core::domain::object::Remote;
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;

use crate::gate::CallGate;
use crate::runtime::Findings;

/// The outcome without the secrets of the call.
pub fn outcome(gate: &CallGate, mut outcome: Outcome) -> Outcome {
    match &mut outcome {
        Outcome::Throttled { retry_after_ms, .. } => cut(gate, retry_after_ms),
        Outcome::Retryable {
            after_ms: Some(ms), ..
        }
        | Outcome::Accepted {
            again_after_ms: Some(ms),
            ..
        } => cut(gate, ms),
        _ => {}
    }
    match &mut outcome {
        Outcome::Delivered {
            remotes, warnings, ..
        } => {
            remotes.iter_mut().for_each(|remote| mask_url(gate, remote));
            warnings.iter_mut().for_each(|warning| mask(gate, warning));
        }
        Outcome::Rejected(problem)
        | Outcome::Unknown(problem)
        | Outcome::Retryable { problem, .. }
        | Outcome::Throttled {
            problem: Some(problem),
            ..
        } => mask(gate, problem),
        Outcome::Conflict(there) => mask_url(gate, there),
        // A token goes back to the destination; masked, it would be useless.
        Outcome::Throttled { problem: None, .. }
        | Outcome::Accepted { .. }
        | Outcome::BlockedOn(_)
        | Outcome::NotAttempted => {}
    }
    outcome
}

/// The error without the secrets of the call.
pub fn error(gate: &CallGate, mut error: CallError) -> CallError {
    match &mut error {
        CallError::Throttled {
            retry_after_ms: ms, ..
        }
        | CallError::Unavailable {
            after_ms: Some(ms), ..
        } => cut(gate, ms),
        _ => {}
    }
    match &mut error {
        CallError::AuthExpired(problem)
        | CallError::AuthRejected(problem)
        | CallError::SettingsInvalid(problem)
        | CallError::Throttled {
            problem: Some(problem),
            ..
        }
        | CallError::Unavailable { problem, .. }
        | CallError::BatchRefused(problem)
        | CallError::Unsupported(problem)
        | CallError::Internal(problem)
        | CallError::NotRun(problem)
        | CallError::Trapped(problem) => mask(gate, problem),
        CallError::Throttled { problem: None, .. } => {}
    }
    error
}

/// The findings without the secrets of the call.
pub fn findings(gate: &CallGate, mut found: Findings) -> Findings {
    for text in found.account.iter_mut().chain(&mut found.scopes) {
        *text = gate.redact(text);
    }
    found
        .remarks
        .iter_mut()
        .for_each(|remark| mask(gate, remark));
    found
}

fn cut(gate: &CallGate, ms: &mut u64) {
    *ms = gate.longest_wait_ms().min(*ms);
}

fn mask(gate: &CallGate, problem: &mut Problem) {
    let Problem {
        code,
        message,
        pointer,
        http_status: _,
        destination_code,
        link,
    } = problem;
    let optional = [pointer, destination_code, link].into_iter().flatten();
    for text in optional.chain([code, message]) {
        *text = gate.redact(text);
    }
}

fn mask_url(gate: &CallGate, remote: &mut Remote) {
    if let Some(url) = &mut remote.url {
        *url = gate.redact(url);
    }
}
