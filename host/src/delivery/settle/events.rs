//! The lines that a delivery adds to a job's history.

use std::borrow::Cow;
use std::collections::HashSet;

use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use serde_json::json;

use crate::gate::exchange::Exchange;
use crate::runtime::call::{LogLevel, LogLine};
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

/// The job leaves in a call.
pub fn sent(
    at: Wall,
    attempt: u32,
    call: i64,
    items: usize,
    idempotency_key: &str,
    connector: &str,
) -> NewEvent {
    let detail = json!({"call": call, "items": items, "idempotency_key": idempotency_key, "connector": connector}).to_string();
    NewEvent {
        attempt: Some(attempt),
        detail: Some(detail),
        ..line(at, "sent")
    }
}

/// Exchanges of a call that each of its items keeps in its history; the newest count.
const EXCHANGES_PER_ITEM: usize = 4;
/// The least that an item keeps of the lines that are about its whole call, in bytes.
const LEAST_SHARED_BYTES: usize = 1024;

/// The lines of a call that one of its `items` keeps: its own, and of those about the whole call
/// the last ones within its share. Each of many items would otherwise write the same lines. What is
/// left out is counted.
pub fn kept_lines(lines: &[LogLine], index: u32, items: u32) -> Vec<Cow<'_, LogLine>> {
    let shared: usize = lines
        .iter()
        .filter(|line| line.item.is_none())
        .map(bytes)
        .sum();
    let mut left = (shared / items.max(1) as usize).max(LEAST_SHARED_BYTES);
    let mut left_out = 0;
    let mut kept = Vec::new();
    for line in lines
        .iter()
        .rev()
        .filter(|line| line.item.is_none_or(|item| item == index))
    {
        if line.item.is_some() {
            kept.push(Cow::Borrowed(line));
        } else if left == 0 {
            left_out += 1;
        } else if let Some(rest) = left.checked_sub(bytes(line)) {
            left = rest;
            kept.push(Cow::Borrowed(line));
        } else {
            let message = line.message[..line.message.floor_char_boundary(left)].to_owned();
            kept.push(Cow::Owned(LogLine {
                message,
                attrs: Vec::new(),
                ..line.clone()
            }));
            left = 0;
        }
    }
    if left_out > 0 {
        let message = format!("… {left_out} lines about the whole call left out");
        kept.push(Cow::Owned(LogLine {
            level: LogLevel::Warn,
            message,
            item: None,
            attrs: Vec::new(),
        }));
    }
    kept.reverse();
    kept
}

fn bytes(line: &LogLine) -> usize {
    line.message.len()
        + line
            .attrs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>()
}

/// The exchanges of a call that are an item's: those with its key, and those that are no other
/// item's of the call. The newest count.
pub fn exchanges_of<'a>(
    exchanges: &'a [Exchange],
    own: &str,
    keys: &HashSet<String>,
) -> impl Iterator<Item = &'a Exchange> {
    let of_item = |exchange: &&Exchange| {
        exchange
            .idempotency_key
            .as_deref()
            .is_none_or(|key| key == own || !keys.contains(key))
    };
    let mut newest: Vec<&Exchange> = exchanges
        .iter()
        .rev()
        .filter(of_item)
        .take(EXCHANGES_PER_ITEM)
        .collect();
    newest.reverse();
    newest.into_iter()
}

/// The newest exchanges of a call without items, or of a question about them.
pub fn newest(exchanges: &[Exchange]) -> &[Exchange] {
    &exchanges[exchanges.len().saturating_sub(EXCHANGES_PER_ITEM)..]
}

/// Exchanges, one line each, and the connector's own lines with the last.
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

/// The connector was asked whether a send arrived whose answer was lost. None: it cannot tell.
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

/// A reference is not waited for.
pub fn reference_ignored(object: &ObjectKey, at: Wall) -> NewEvent {
    note(
        at,
        "reference_ignored",
        format!("{object} waits for this object in turn; it is not waited for"),
    )
}

pub fn ended(
    state: JobState,
    problem: Option<&Problem>,
    changed: Option<bool>,
    at: Wall,
) -> NewEvent {
    let detail = problem
        .map(|p| serde_json::to_string(p).unwrap_or_default())
        .or_else(|| changed.map(|changed| json!({"changed": changed}).to_string()));
    NewEvent {
        http_status: problem.and_then(|p| p.http_status),
        detail,
        ..line(at, state.as_str())
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

/// Something that the host did or noticed.
pub fn note(at: Wall, stage: &'static str, detail: String) -> NewEvent {
    NewEvent {
        detail: Some(detail),
        ..line(at, stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(item: Option<u32>, message: &str) -> LogLine {
        LogLine {
            level: LogLevel::Info,
            message: message.to_owned(),
            item,
            attrs: Vec::new(),
        }
    }

    fn messages(lines: &[LogLine], index: u32, items: u32) -> Vec<String> {
        kept_lines(lines, index, items)
            .into_iter()
            .map(|line| line.into_owned().message)
            .collect()
    }

    #[test]
    fn a_single_item_keeps_all_lines_and_of_others_none() {
        let lines = [
            line(None, &"a".repeat(4000)),
            line(Some(1), "other"),
            line(Some(0), "own"),
            line(None, "end"),
        ];
        assert_eq!(messages(&lines, 0, 1), [&"a".repeat(4000), "own", "end"]);
    }

    #[test]
    fn many_items_share_the_lines_about_their_call_and_keep_their_own() {
        let mut lines: Vec<LogLine> = (0..100).map(|i| line(None, &format!("{i:0600}"))).collect();
        lines.insert(0, line(Some(7), &"own".repeat(1000)));
        for (items, most) in [(2, 30_000), (10, 6000), (5000, 1024)] {
            let kept = messages(&lines, 7, items);
            assert_eq!(kept[1], "own".repeat(1000), "its own are all there");
            assert_eq!(
                kept[0],
                format!("… {} lines about the whole call left out", 102 - kept.len())
            );
            let shared: usize = kept[2..].iter().map(String::len).sum();
            assert_eq!(shared, most, "{items} items");
            assert_eq!(
                kept.last().map(String::as_str),
                Some(format!("{:0600}", 99).as_str()),
                "the newest count"
            );
        }
    }
}
