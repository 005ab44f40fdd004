//! Converts the guest's records to the host's types, and bounds the texts and lists in them.

use egression_core::domain::action::Action;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::time::Wall;

use super::bindings::egression::connector::model as wit;
use super::bindings::exports::egression::connector::settlement;
use crate::runtime::connector_call::{Findings, MAX_SESSION_BYTES, Session, Verdict};
use crate::runtime::instance::guest_log::cut;

/// Bytes kept of a code.
const MAX_CODE_BYTES: usize = 256;
/// Bytes kept of a message, a pointer or a link.
const MAX_MESSAGE_BYTES: usize = 4_096;
/// Warnings, remarks and scopes kept.
const MAX_REMARKS: usize = 50;
/// Remote ids of one object.
const MAX_REMOTES: usize = 4_096;
/// Objects that one item may wait for.
const MAX_BLOCKED_ON: usize = 1_000;
/// Bytes of an id, a kind or a version. These are sent back unchanged, so they are never cut.
const MAX_ID_BYTES: usize = 1_024;
/// Bytes of a token, which may be a signed URL.
const MAX_TOKEN_BYTES: usize = 8_192;

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
    ObjectKey {
        object_type: key.object_type,
        id: key.id,
    }
}

pub(super) fn problem(problem: wit::Problem) -> Problem {
    Problem {
        code: cut(problem.code, MAX_CODE_BYTES),
        message: cut(problem.message, MAX_MESSAGE_BYTES),
        pointer: problem.pointer.map(|text| cut(text, MAX_MESSAGE_BYTES)),
        http_status: problem.http_status,
        destination_code: problem
            .destination_code
            .map(|text| cut(text, MAX_CODE_BYTES)),
        link: problem.link.map(|text| cut(text, MAX_MESSAGE_BYTES)),
    }
}

fn problems(list: Vec<wit::Problem>) -> Vec<Problem> {
    list.into_iter().take(MAX_REMARKS).map(problem).collect()
}

fn remote(remote: wit::Remote) -> Remote {
    // A URL that is cut leads nowhere.
    let url = remote.url.filter(|url| url.len() <= MAX_MESSAGE_BYTES);
    Remote {
        kind: remote.kind,
        id: remote.id,
        version: remote.version,
        url,
        sub_id: remote.sub_id,
    }
}

pub(super) fn outcomes(list: Vec<wit::ItemOutcome>) -> Vec<(u32, Outcome)> {
    list.into_iter()
        .map(|settled| (settled.index, outcome(settled.outcome)))
        .collect()
}

/// The name of a limit. No limit has a name longer than the bound.
fn bucket(name: Option<String>) -> Option<String> {
    name.filter(|name| name.len() <= MAX_CODE_BYTES)
}

/// An outcome beyond the bounds cannot be stored, so it becomes `unknown`. A conflict and a list of
/// blocking objects prove that nothing was applied, so they become `rejected`.
fn outcome(outcome: wit::Outcome) -> Outcome {
    let Some(why) = too_large(&outcome) else {
        return within_bounds(outcome);
    };
    let problem = Problem::new("guest.outcome_too_large", why);
    match outcome {
        wit::Outcome::Conflict(_) | wit::Outcome::BlockedOn(_) => Outcome::Rejected(problem),
        _ => Outcome::Unknown(problem),
    }
}

fn too_large(outcome: &wit::Outcome) -> Option<String> {
    let longer = |what: &str, text: &str, most: usize| {
        (text.len() > most).then(|| {
            format!(
                "{what} of the outcome has {} bytes; the limit is {most}",
                text.len()
            )
        })
    };
    let long = |what: &str, text: &str| longer(what, text, MAX_ID_BYTES);
    let long_remote = |remote: &wit::Remote| {
        let parts = [
            Some(&remote.kind),
            Some(&remote.id),
            remote.version.as_ref(),
            remote.sub_id.as_ref(),
        ];
        parts
            .into_iter()
            .flatten()
            .find_map(|text| long("a remote id, kind or version", text))
    };
    match outcome {
        wit::Outcome::Delivered(delivery) if delivery.remotes.len() > MAX_REMOTES => Some(format!(
            "the outcome has {} remote ids; the limit is {MAX_REMOTES}",
            delivery.remotes.len()
        )),
        wit::Outcome::Delivered(delivery) => delivery.remotes.iter().find_map(long_remote),
        wit::Outcome::Conflict(there) => long_remote(there),
        wit::Outcome::Accepted(acceptance) => {
            longer("the token", &acceptance.token, MAX_TOKEN_BYTES)
        }
        wit::Outcome::BlockedOn(keys) => keys.iter().find_map(|key| {
            long("the type of an object", &key.object_type)
                .or_else(|| long("the id of an object", &key.id))
        }),
        wit::Outcome::Throttled(_)
        | wit::Outcome::Rejected(_)
        | wit::Outcome::Retryable(_)
        | wit::Outcome::Unknown(_)
        | wit::Outcome::NotAttempted => None,
    }
}

fn within_bounds(outcome: wit::Outcome) -> Outcome {
    match outcome {
        wit::Outcome::Delivered(delivery) => Outcome::Delivered {
            remotes: delivery.remotes.into_iter().map(remote).collect(),
            changed: delivery.changed,
            warnings: problems(delivery.warnings),
        },
        wit::Outcome::Accepted(acceptance) => Outcome::Accepted {
            token: acceptance.token,
            again_after_ms: acceptance.again_after,
        },
        wit::Outcome::Rejected(why) => Outcome::Rejected(problem(why)),
        wit::Outcome::Retryable(retry) => Outcome::Retryable {
            after_ms: retry.after,
            problem: problem(retry.problem),
        },
        wit::Outcome::Throttled(throttle) => Outcome::Throttled {
            bucket: bucket(throttle.bucket),
            retry_after_ms: throttle.retry_after,
            problem: throttle.problem.map(problem),
        },
        // When these objects are done, the item is sent again and the connector names the rest.
        wit::Outcome::BlockedOn(keys) => {
            Outcome::BlockedOn(keys.into_iter().take(MAX_BLOCKED_ON).map(key).collect())
        }
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
        wit::CallError::Throttled(throttle) => CallError::Throttled {
            bucket: bucket(throttle.bucket),
            retry_after_ms: throttle.retry_after,
            problem: throttle.problem.map(problem),
        },
        wit::CallError::Unavailable(retry) => CallError::Unavailable {
            after_ms: retry.after,
            problem: problem(retry.problem),
        },
        wit::CallError::BatchRefused(why) => CallError::BatchRefused(problem(why)),
        wit::CallError::Unsupported(why) => CallError::Unsupported(problem(why)),
        wit::CallError::Internal(why) => CallError::Internal(problem(why)),
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the error becomes the call's end, which holds it by value"
)]
pub(super) fn session(session: wit::Session) -> Result<Session, CallError> {
    if session.data.len() > MAX_SESSION_BYTES {
        let message = format!(
            "the session has {} bytes; the limit is {MAX_SESSION_BYTES}",
            session.data.len()
        );
        return Err(CallError::Internal(Problem::new(
            "guest.session_too_large",
            message,
        )));
    }
    let account = session.account.map(|text| cut(text, MAX_MESSAGE_BYTES));
    Ok(Session {
        data: session.data,
        expires_at: session.expires_at.map(instant),
        account,
    })
}

pub(super) fn findings(findings: wit::Findings) -> Findings {
    Findings {
        account: findings.account.map(|text| cut(text, MAX_MESSAGE_BYTES)),
        scopes: findings
            .scopes
            .into_iter()
            .take(MAX_REMARKS)
            .map(|text| cut(text, MAX_CODE_BYTES))
            .collect(),
        remarks: problems(findings.remarks),
    }
}

pub(super) fn verdict(verdict: settlement::Verdict) -> Verdict {
    Verdict {
        token: verdict.token,
        settled: outcomes(verdict.settled),
        again_after_ms: verdict.again_after,
        finished: verdict.finished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(remotes: Vec<wit::Remote>) -> wit::Outcome {
        wit::Outcome::Delivered(wit::Delivery {
            remotes,
            changed: true,
            warnings: Vec::new(),
        })
    }

    fn remote(id: usize, url: Option<usize>) -> wit::Remote {
        let url = url.map(|bytes| "u".repeat(bytes));
        wit::Remote {
            kind: "product".to_owned(),
            id: "i".repeat(id),
            version: None,
            url,
            sub_id: None,
        }
    }

    fn object(bytes: usize) -> wit::ObjectKey {
        wit::ObjectKey {
            object_type: "product".to_owned(),
            id: "i".repeat(bytes),
        }
    }

    #[test]
    fn outcome_within_its_bounds_is_unchanged() {
        let Outcome::Delivered { remotes, .. } =
            outcome(delivered(vec![remote(1024, Some(5000)); 100]))
        else {
            panic!("not delivered");
        };
        assert_eq!(
            (remotes.len(), remotes[0].id.len(), &remotes[0].url),
            (100, 1024, &None)
        );
        let Outcome::BlockedOn(keys) = outcome(wit::Outcome::BlockedOn(vec![object(9); 5000]))
        else {
            panic!("not blocked")
        };
        assert_eq!(keys.len(), 1000);
    }

    #[test]
    fn outcome_beyond_its_bounds_is_unknown_or_rejected() {
        let token = "t".repeat(8193);
        for (large, applied) in [
            (delivered(vec![remote(9, None); 4097]), true),
            (delivered(vec![remote(9, None), remote(1025, None)]), true),
            (
                wit::Outcome::Accepted(wit::Acceptance {
                    token,
                    again_after: None,
                }),
                true,
            ),
            (wit::Outcome::Conflict(remote(1025, None)), false),
            (wit::Outcome::BlockedOn(vec![object(1025)]), false),
        ] {
            let problem = match outcome(large) {
                Outcome::Unknown(problem) if applied => problem,
                Outcome::Rejected(problem) if !applied => problem,
                other => panic!("{other:?}"),
            };
            assert_eq!(problem.code, "guest.outcome_too_large");
            assert!(
                problem.message.contains("the limit is") && problem.message.len() < 100,
                "{}",
                problem.message
            );
        }
    }
}
