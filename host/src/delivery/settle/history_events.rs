//! The events that a delivery adds to a job's history.

use std::borrow::Cow;

use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::State;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use serde_json::json;

use super::history_excerpt::{kept_lines, newest};
use crate::delivery::invoke::call_log::CallLog;
use crate::gate::exchange::Exchange;
use crate::runtime::LogLine;
use crate::store::rows::NewEvent;

fn line(at: Wall, stage: &'static str) -> NewEvent {
    NewEvent {
        at,
        stage,
        attempt: None,
        http_status: None,
        duration_ms: None,
        detail: None,
        log: None,
    }
}

pub fn resolved(at: Wall, duration_ms: u64, bytes: usize, revision: Option<u64>) -> NewEvent {
    let detail = json!({"bytes": bytes, "revision": revision}).to_string();
    NewEvent {
        duration_ms: Some(duration_ms),
        detail: Some(detail),
        ..line(at, "resolved")
    }
}

/// The job went with a call.
pub fn sent(
    at: Wall,
    attempt: u32,
    call: i64,
    items: u32,
    idempotency_key: &str,
    connector: &str,
) -> NewEvent {
    let detail = json!({
        "call": call,
        "items": items,
        "idempotency_key": idempotency_key,
        "connector": connector,
    });
    NewEvent {
        attempt: Some(attempt),
        detail: Some(detail.to_string()),
        ..line(at, "sent")
    }
}

/// The newest exchanges and the lines of a call, as one of its `items` keeps them. `own` is the
/// item whose lines are kept; none: the call had no items.
pub fn of_call(
    log: &CallLog,
    own: Option<u32>,
    items: u32,
    attempt: u32,
    now: Wall,
) -> Vec<NewEvent> {
    let lines = kept_lines(&log.lines, own, items);
    responded(newest(&log.exchanges), &lines, attempt, now)
}

/// One event per exchange; the last one carries the connector's log lines.
pub fn responded<'a>(
    exchanges: impl IntoIterator<Item = &'a Exchange>,
    log: &[Cow<'_, LogLine>],
    attempt: u32,
    now: Wall,
) -> Vec<NewEvent> {
    let mut events: Vec<NewEvent> = exchanges
        .into_iter()
        .map(|exchange| {
            let detail =
                json!({"method": exchange.method, "url": exchange.url, "error": exchange.error})
                    .to_string();
            let at = exchange
                .at
                .plus_ms(i64::try_from(exchange.duration_ms).unwrap_or(0));
            NewEvent {
                attempt: Some(attempt),
                http_status: exchange.status,
                duration_ms: Some(exchange.duration_ms),
                detail: Some(detail),
                ..line(at, exchange.end.stage())
            }
        })
        .collect();
    if !log.is_empty() {
        let text = serde_json::to_string(&log).ok();
        match events.last_mut() {
            Some(last) => last.log = text,
            None => events.push(NewEvent {
                attempt: Some(attempt),
                log: text,
                ..line(now, "logged")
            }),
        }
    }
    events
}

/// The connector was asked whether a send arrived whose answer was lost; none: it cannot tell.
pub fn reconciled(
    arrived: Option<bool>,
    problem: Option<&Problem>,
    attempt: u32,
    at: Wall,
) -> NewEvent {
    let detail = json!({"arrived": arrived, "problem": problem});
    NewEvent {
        attempt: Some(attempt),
        http_status: problem.and_then(|p| p.http_status),
        detail: Some(detail.to_string()),
        ..line(at, "reconciled")
    }
}

/// The job does not wait for an object that waits for it.
pub fn reference_ignored(object: &ObjectKey, at: Wall) -> NewEvent {
    note(
        at,
        "reference_ignored",
        format!("{object} waits for this object in turn; it is not waited for"),
    )
}

pub fn ended(end: &State, at: Wall) -> NewEvent {
    let problem = end.problem();
    let detail = match end {
        State::Succeeded { changed } => Some(json!({"changed": changed}).to_string()),
        _ => problem.map(|problem| serde_json::to_string(problem).unwrap_or_default()),
    };
    NewEvent {
        http_status: problem.and_then(|problem| problem.http_status),
        detail,
        ..line(at, end.kind().as_str())
    }
}

pub fn waits(
    reason: WaitingKind,
    until: Option<Wall>,
    problem: Option<&Problem>,
    attempt: Option<u32>,
    at: Wall,
) -> NewEvent {
    let detail = json!({
        "waiting": reason.as_str(),
        "until": until.map(Wall::to_rfc3339),
        "problem": problem,
    });
    NewEvent {
        attempt,
        http_status: problem.and_then(|p| p.http_status),
        detail: Some(detail.to_string()),
        ..line(at, "rescheduled")
    }
}

/// The job's intent was open when the host died.
pub fn recovered(repeats: bool, at: Wall) -> NewEvent {
    note(at, "recovered", json!({"repeats": repeats}).to_string())
}

/// The destination took the object, with warnings.
pub fn warned(warnings: &[Problem], at: Wall) -> NewEvent {
    note(
        at,
        "warned",
        serde_json::to_string(warnings).unwrap_or_default(),
    )
}

fn note(at: Wall, stage: &'static str, detail: String) -> NewEvent {
    NewEvent {
        detail: Some(detail),
        ..line(at, stage)
    }
}
