//! Which heads share a call, and whether a call waits for more of them.
//!
//! If each item takes a request of its own, a call is not filled while another could start: its
//! requests would go one after the other, though the destination takes several at once.

use super::connection::Connection;
use super::head::{Head, Kind};
use super::rules::PackingRule;
use crate::time::Mono;

/// The most lanes that are skipped while a call is filled, because their first head needs a smaller
/// call.
const MOST_PASSED: usize = 16;

/// How long a call of this kind that is not full waits for more heads. `None`: it starts now.
/// `Some(None)`: it waits until a read in flight is answered.
#[expect(
    clippy::option_option,
    reason = "three answers: go, wait for a signal, wait until then"
)]
pub(super) fn wait_for_more(
    connection: &Connection,
    kind: Kind,
    packing: PackingRule,
    now: Mono,
) -> Option<Option<Mono>> {
    if packing.max_items <= 1 || packing.has_one_request_per_item() {
        return None;
    }
    let like = connection
        .window
        .ready
        .kinds()
        .filter(|(other, _)| kind.packs_with(*other, packing.mixed_actions));
    let (mut count, mut since, mut answers) = (0, now, u64::MAX);
    for (_, filling) in like {
        count += filling.count;
        since = since.min(filling.since);
        answers = answers.min(filling.answers);
    }
    if count >= packing.max_items as usize {
        return None;
    }
    // Waiting for one page pays. A lane whose pages bring nothing must not hold the call any
    // longer.
    if connection.window.read_queue.in_flight() > 0
        && connection.window.read_queue.answers() <= answers
    {
        return Some(None);
    }
    let until = since.plus_ms(packing.max_wait_ms);
    (until > now).then_some(Some(until))
}

/// How many loaded heads of this kind one call takes if `calls` start in parallel.
pub(super) fn share(connection: &Connection, kind: Kind, packing: PackingRule, calls: u32) -> u32 {
    let like = connection.window.ready.kinds();
    let loaded: usize = like
        .filter(|(other, _)| kind.packs_with(*other, packing.mixed_actions))
        .map(|(_, filling)| filling.count)
        .sum();
    let share = loaded.div_ceil(calls.max(1) as usize).max(1);
    u32::try_from(share)
        .unwrap_or(u32::MAX)
        .min(packing.max_items)
}

/// Takes the heads that share a call: the highest priority first, executions in turn.
pub(super) fn fill(connection: &mut Connection, first: Head, packing: PackingRule) -> Vec<Head> {
    let cap_of = |connection: &Connection, head: &Head| {
        connection
            .call_caps
            .get(&head.job)
            .map_or(usize::MAX, |cap| *cap as usize)
    };
    let mut max_items = (packing.max_items.max(1) as usize).min(cap_of(connection, &first));
    let mut heads = vec![first];
    connection.window.take(&first);
    connection.window.rotate(first.lane());
    let like: Vec<Kind> = connection
        .window
        .ready
        .kinds()
        .map(|(kind, _)| kind)
        .filter(|kind| first.kind().packs_with(*kind, packing.mixed_actions))
        .collect();
    let priorities: Vec<i8> = connection.window.ready.priorities().collect();
    let mut passed = Vec::new();
    for priority in priorities {
        while heads.len() < max_items && passed.len() < MOST_PASSED {
            let Some(key) = connection.window.ready.front_of(priority, &like, &passed) else {
                break;
            };
            let Some(head) = connection
                .window
                .lanes
                .get(&key)
                .and_then(|lane| lane.first_of(&like))
            else {
                break;
            };
            let cap = cap_of(connection, &head);
            if heads.len() >= cap {
                passed.push(key);
                continue;
            }
            max_items = max_items.min(cap);
            connection.window.take(&head);
            connection.window.rotate(key);
            heads.push(head);
        }
    }
    heads
}
