//! One call of a connection's ready heads: whose turn it is, whether it waits to fill, and what
//! shares it.

use super::LimitForecast;
use super::connection::{Connection, PackingRule};
use super::head::{Head, Kind};
use super::scheduler::{Claim, SchedulerBounds};
use super::status::{Blocked, blocked_by};
use crate::domain::waiting::WaitingKind;
use crate::time::Mono;

/// Lanes passed over while a call is filled because their first head must go in a smaller one.
const MOST_PASSED: usize = 16;

/// Makes one call, or says why none can start.
pub(super) fn admit(
    connection: &mut Connection,
    bounds: &SchedulerBounds,
    now: Mono,
    room: &dyn LimitForecast,
) -> Result<Claim, Blocked> {
    if let Some(blocked) = blocked_by(&connection.availability) {
        return Err(blocked);
    }
    // The key of a turn is the bound that it waits for, by the name that the channel or the
    // manifest has for it.
    let turn = |key: Option<&str>, until| Blocked {
        kind: WaitingKind::Turn,
        key: key.map(str::to_owned),
        until,
    };
    if connection.loaded == 0 {
        return Err(turn(None, None));
    }
    if connection.calls >= connection.rules.max_calls {
        return Err(turn(Some("max_calls"), None));
    }
    let startable = startable(connection, now);
    if startable.kinds.is_empty() {
        return Err(if startable.filling {
            turn(Some("max_wait_ms"), startable.until)
        } else {
            turn(Some("max_in_flight"), None)
        });
    }
    let (requests, limit) = room.headroom(connection.rules.connection, now);
    if requests == 0 {
        let (key, until) = limit.map_or((None, None), |(key, until)| (Some(key), Some(until)));
        return Err(Blocked {
            kind: WaitingKind::Limit,
            key,
            until: until.filter(|u| *u != Mono::FAR),
        });
    }
    let ignore_priority =
        (connection.picks + 1).is_multiple_of(bounds.ignore_priority_every.max(1));
    let first = connection
        .ready
        .front(&startable.kinds, ignore_priority)
        .and_then(|key| connection.lanes.get(&key)?.first_of(&startable.kinds))
        .ok_or_else(|| turn(None, None))?;
    connection.picks += 1;
    let packing = connection.packing(first.type_hash);
    let heads = fill(connection, first, packing);
    connection.calls += 1;
    *connection.calls_of_type.entry(first.type_hash).or_default() += 1;
    Ok(Claim {
        connection: connection.rules.connection,
        type_hash: first.type_hash,
        heads,
        requests: packing.requests_per_call.max(1),
    })
}

/// Kinds of which a call may start.
struct Startable {
    kinds: Vec<Kind>,
    /// Some other kind waits for more.
    filling: bool,
    /// Until when, if not only for a page.
    until: Option<Mono>,
}

fn startable(connection: &Connection, now: Mono) -> Startable {
    let mut startable = Startable {
        kinds: Vec::new(),
        filling: false,
        until: None,
    };
    for (kind, _) in connection.ready.kinds() {
        let packing = connection.packing(kind.type_hash);
        let calls = connection
            .calls_of_type
            .get(&kind.type_hash)
            .copied()
            .unwrap_or(0);
        if packing.max_in_flight > 0 && calls >= packing.max_in_flight {
            continue;
        }
        match wait_for_more(connection, kind, packing, now) {
            None => startable.kinds.push(kind),
            Some(until) => {
                startable.filling = true;
                startable.until = startable.until.into_iter().chain(until).min();
            }
        }
    }
    startable
}

/// Until when a call of this kind that is not full waits for more; `Some(None)`: until a read under
/// way is answered.
#[expect(
    clippy::option_option,
    reason = "three answers: go, wait for a signal, wait until then"
)]
fn wait_for_more(
    connection: &Connection,
    kind: Kind,
    packing: PackingRule,
    now: Mono,
) -> Option<Option<Mono>> {
    if packing.max_items <= 1 {
        return None;
    }
    let like = connection
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
    // One page is worth waiting for; a lane whose pages bring nothing must not hold what is there.
    if connection.reading.under_way() > 0 && connection.reading.answers() <= answers {
        return Some(None);
    }
    let until = since.plus_ms(packing.max_wait_ms);
    (until > now).then_some(Some(until))
}

/// Takes heads that may share the call, highest priority first, executions in turn.
fn fill(connection: &mut Connection, first: Head, packing: PackingRule) -> Vec<Head> {
    let cap_of = |connection: &Connection, head: &Head| {
        connection
            .call_caps
            .get(&head.job)
            .map_or(usize::MAX, |cap| *cap as usize)
    };
    let mut max_items = (packing.max_items.max(1) as usize).min(cap_of(connection, &first));
    let mut heads = vec![first];
    connection.take(&first);
    connection.rotate(first.lane());
    let like: Vec<Kind> = connection
        .ready
        .kinds()
        .map(|(kind, _)| kind)
        .filter(|kind| first.kind().packs_with(*kind, packing.mixed_actions))
        .collect();
    let priorities: Vec<i8> = connection.ready.priorities().collect();
    let mut passed = Vec::new();
    for priority in priorities {
        while heads.len() < max_items && passed.len() < MOST_PASSED {
            let Some(key) = connection.ready.front_of(priority, &like, &passed) else {
                break;
            };
            let Some(head) = connection
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
            connection.take(&head);
            connection.rotate(key);
            heads.push(head);
        }
    }
    heads
}
