//! The lines that a delivery adds to a job's history.

use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use serde_json::json;

use crate::gate::exchange::Exchange;
use crate::runtime::call::LogLine;
use crate::store::rows::NewEvent;

fn line(at: Wall, stage: &'static str) -> NewEvent {
    NewEvent { at, stage, attempt: None, http_status: None, duration_ms: None, detail: None, log: None }
}

/// The body was read.
pub(super) fn resolved(at: Wall, duration_ms: u64, bytes: usize, revision: Option<u64>) -> NewEvent {
    let detail = json!({"bytes": bytes, "revision": revision}).to_string();
    NewEvent { duration_ms: Some(duration_ms), detail: Some(detail), ..line(at, "resolved") }
}

/// The job leaves in a call.
pub(super) fn sent(at: Wall, attempt: u32, call: i64, items: usize, idempotency_key: &str, connector: &str) -> NewEvent {
    let detail = json!({"call": call, "items": items, "idempotency_key": idempotency_key, "connector": connector}).to_string();
    NewEvent { attempt: Some(attempt), detail: Some(detail), ..line(at, "sent") }
}

/// The exchanges of the call, one line each, and the connector's own lines with the last.
pub(super) fn responded(exchanges: &[Exchange], log: &[&LogLine], attempt: u32, now: Wall) -> Vec<NewEvent> {
    let mut events: Vec<NewEvent> = exchanges
        .iter()
        .map(|exchange| {
            let detail = json!({"method": exchange.method, "url": exchange.url, "error": exchange.error}).to_string();
            let at = exchange.at.plus_ms(i64::try_from(exchange.duration_ms).unwrap_or(0));
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
            None => events.push(NewEvent { attempt: Some(attempt), log: text, ..line(now, "logged") }),
        }
    }
    events
}

/// The connector was asked whether a send arrived whose answer was lost. None: it cannot tell.
pub(super) fn reconciled(arrived: Option<bool>, problem: Option<&Problem>, attempt: u32, at: Wall) -> NewEvent {
    let detail = json!({"arrived": arrived, "problem": problem});
    NewEvent {
        attempt: Some(attempt),
        http_status: problem.and_then(|p| p.http_status),
        detail: Some(detail.to_string()),
        ..line(at, "reconciled")
    }
}

/// The job ended.
pub(super) fn ended(state: JobState, problem: Option<&Problem>, changed: Option<bool>, at: Wall) -> NewEvent {
    let detail = problem
        .map(|p| serde_json::to_string(p).unwrap_or_default())
        .or_else(|| changed.map(|changed| json!({"changed": changed}).to_string()));
    NewEvent { http_status: problem.and_then(|p| p.http_status), detail, ..line(at, state.as_str()) }
}

/// The job waits again.
pub(super) fn waits(reason: WaitingKind, until: Option<Wall>, problem: Option<&Problem>, attempt: Option<u32>, at: Wall) -> NewEvent {
    let detail = json!({
        "waiting": reason.as_str(),
        "until": until.map(Wall::to_rfc3339),
        "problem": problem,
    });
    NewEvent { attempt, http_status: problem.and_then(|p| p.http_status), detail: Some(detail.to_string()), ..line(at, "rescheduled") }
}

/// Something that the host did or noticed.
pub(super) fn note(at: Wall, stage: &'static str, detail: String) -> NewEvent {
    NewEvent { detail: Some(detail), ..line(at, stage) }
}
