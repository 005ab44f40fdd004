//! From the guest's records to ours. Texts that only people read are cut here, whatever a guest hands over.

use egression_core::domain::action::Action;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;

use super::super::call::{Findings, MAX_SESSION_BYTES, Session, Verdict};
use super::super::journal::cut;
use super::bindings::egression::connector::model as wit;
use super::bindings::exports::egression::connector::settlement;

/// Bytes kept of a code.
const MAX_CODE_BYTES: usize = 256;
/// Bytes kept of a message, a pointer or a link.
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Warnings, remarks and scopes kept.
const MAX_REMARKS: usize = 50;

pub(super) fn instant(ms: u64) -> Wall {
    Wall(i64::try_from(ms).unwrap_or(i64::MAX))
}

pub(super) const fn action(action: wit::Action) -> Action {
    match action {
        wit::Action::Create => Action::Create,
        wit::Action::Update => Action::Update,
        wit::Action::Delete => Action::Delete,
        wit::Action::Upsert => Action::Upsert,
    }
}

pub(super) fn key(key: wit::ObjectKey) -> ObjectKey {
    ObjectKey { object_type: key.object_type, id: key.id }
}

pub(super) fn problem(problem: wit::Problem) -> Problem {
    Problem {
        code: cut(problem.code, MAX_CODE_BYTES),
        message: cut(problem.message, MAX_MESSAGE_BYTES),
        pointer: problem.pointer.map(|text| cut(text, MAX_MESSAGE_BYTES)),
        http_status: problem.http_status,
        destination_code: problem.destination_code.map(|text| cut(text, MAX_CODE_BYTES)),
        link: problem.link.map(|text| cut(text, MAX_MESSAGE_BYTES)),
    }
}

fn problems(list: Vec<wit::Problem>) -> Vec<Problem> {
    list.into_iter().take(MAX_REMARKS).map(problem).collect()
}

fn remote(remote: wit::Remote) -> Remote {
    Remote { kind: remote.kind, id: remote.id, version: remote.version, url: remote.url, sub_id: remote.sub_id }
}

pub(super) fn outcomes(list: Vec<wit::ItemOutcome>) -> Vec<(u32, Outcome)> {
    list.into_iter().map(|settled| (settled.index, outcome(settled.outcome))).collect()
}

fn outcome(outcome: wit::Outcome) -> Outcome {
    match outcome {
        wit::Outcome::Delivered(delivery) => Outcome::Delivered {
            remotes: delivery.remotes.into_iter().map(remote).collect(),
            changed: delivery.changed,
            warnings: problems(delivery.warnings),
        },
        wit::Outcome::Accepted(acceptance) => Outcome::Accepted { token: acceptance.token, again_after_ms: acceptance.again_after },
        wit::Outcome::Rejected(why) => Outcome::Rejected(problem(why)),
        wit::Outcome::Retryable(retry) => Outcome::Retryable { after_ms: retry.after, problem: problem(retry.problem) },
        wit::Outcome::Throttled(throttle) => {
            Outcome::Throttled { bucket: throttle.bucket, retry_after_ms: throttle.retry_after, problem: throttle.problem.map(problem) }
        }
        wit::Outcome::BlockedOn(keys) => Outcome::BlockedOn(keys.into_iter().map(key).collect()),
        wit::Outcome::Conflict(there) => Outcome::Conflict(remote(there)),
        wit::Outcome::Unknown(why) => Outcome::Unknown(problem(why)),
        wit::Outcome::NotAttempted => Outcome::NotAttempted,
    }
}

pub(super) fn call_error(error: wit::CallError) -> CallError {
    match error {
        wit::CallError::AuthExpired(why) => CallError::AuthExpired(problem(why)),
        wit::CallError::AuthRejected(why) => CallError::AuthRejected(problem(why)),
        wit::CallError::SettingsInvalid(why) => CallError::SettingsInvalid(problem(why)),
        wit::CallError::Throttled(throttle) => {
            CallError::Throttled { bucket: throttle.bucket, retry_after_ms: throttle.retry_after, problem: throttle.problem.map(problem) }
        }
        wit::CallError::Unavailable(retry) => CallError::Unavailable { after_ms: retry.after, problem: problem(retry.problem) },
        wit::CallError::BatchRefused(why) => CallError::BatchRefused(problem(why)),
        wit::CallError::Unsupported(why) => CallError::Unsupported(problem(why)),
        wit::CallError::Internal(why) => CallError::Internal(problem(why)),
    }
}

#[expect(clippy::result_large_err, reason = "the error becomes the call's end, which holds it by value")]
pub(super) fn session(session: wit::Session) -> Result<Session, CallError> {
    if session.data.len() > MAX_SESSION_BYTES {
        let message = format!("the session has {} bytes; the contract allows {MAX_SESSION_BYTES}", session.data.len());
        return Err(CallError::Internal(Problem::new("guest.session_too_large", message)));
    }
    let account = session.account.map(|text| cut(text, MAX_MESSAGE_BYTES));
    Ok(Session { data: session.data, expires_at: session.expires_at.map(instant), account })
}

pub(super) fn findings(findings: wit::Findings) -> Findings {
    Findings {
        account: findings.account.map(|text| cut(text, MAX_MESSAGE_BYTES)),
        scopes: findings.scopes.into_iter().take(MAX_REMARKS).map(|text| cut(text, MAX_CODE_BYTES)).collect(),
        remarks: problems(findings.remarks),
    }
}

pub(super) fn verdict(verdict: settlement::Verdict) -> Verdict {
    Verdict { token: verdict.token, settled: outcomes(verdict.settled), again_after_ms: verdict.again_after, finished: verdict.finished }
}
