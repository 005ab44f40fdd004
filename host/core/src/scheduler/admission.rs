//! The admission decision: whether a job of a connection may be sent now.
//!
//! In this order: the connection's availability, loaded heads, its bound on calls, a type's bounds
//! and waits, the limits. The store decides once more when the intent is opened: a job that was
//! canceled meanwhile drops out there.

use super::availability::Blocked;
use super::bounds::SchedulerBounds;
use super::claim::Claim;
use super::connection::Connection;
use super::head::Kind;
use super::limit_forecast::LimitForecast;
use super::packing;
use super::rules::PackingRule;
use crate::domain::ids::TypeHash;
use crate::domain::waiting::WaitingKind;
use crate::time::Mono;

/// Admits one call, or returns why none can start.
pub(super) fn admit(
    connection: &mut Connection,
    bounds: &SchedulerBounds,
    now: Mono,
    limits: &dyn LimitForecast,
) -> Result<Claim, Blocked> {
    if let Some(blocked) = Blocked::by(&connection.availability) {
        return Err(blocked);
    }
    // The key of a turn is the name of the bound that it waits for, as in the channel or the
    // manifest.
    let turn = |key: Option<&str>, until| Blocked {
        kind: WaitingKind::Turn,
        key: key.map(str::to_owned),
        until,
    };
    if connection.window.loaded == 0 {
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
    let (requests, limit) = limits.headroom(connection.rules.connection, now);
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
        .window
        .ready
        .front(&startable.kinds, ignore_priority)
        .and_then(|key| {
            connection
                .window
                .lanes
                .get(&key)?
                .first_of(&startable.kinds)
        })
        .ok_or_else(|| turn(None, None))?;
    connection.picks += 1;
    let mut packing = connection.packing(first.type_hash);
    if packing.has_one_request_per_item() {
        let calls = parallel_calls(connection, first.type_hash, packing, requests);
        packing.max_items = packing::share(connection, first.kind(), packing, calls);
    }
    let heads = packing::fill(connection, first, packing);
    connection.calls += 1;
    *connection.calls_of_type.entry(first.type_hash).or_default() += 1;
    Ok(Claim {
        connection: connection.rules.connection,
        type_hash: first.type_hash,
        requests: packing.requests(heads.len()),
        heads,
    })
}

/// How many calls of this type could start now: what the limits and the bounds on calls leave.
fn parallel_calls(
    connection: &Connection,
    type_hash: TypeHash,
    packing: PackingRule,
    requests: u32,
) -> u32 {
    let of_connection = connection.rules.max_calls - connection.calls;
    let of_type = match packing.max_in_flight {
        0 => u32::MAX,
        most => most.saturating_sub(connection.calls_of(type_hash)),
    };
    requests.min(of_connection).min(of_type)
}

/// The kinds that a call may start with.
struct Startable {
    kinds: Vec<Kind>,
    /// Another kind waits for more heads.
    filling: bool,
    /// Until when it waits, unless only for a page.
    until: Option<Mono>,
}

fn startable(connection: &Connection, now: Mono) -> Startable {
    let mut startable = Startable {
        kinds: Vec::new(),
        filling: false,
        until: None,
    };
    for (kind, _) in connection.window.ready.kinds() {
        let packing = connection.packing(kind.type_hash);
        if packing.max_in_flight > 0 && connection.calls_of(kind.type_hash) >= packing.max_in_flight
        {
            continue;
        }
        match packing::wait_for_more(connection, kind, packing, now) {
            None => startable.kinds.push(kind),
            Some(until) => {
                startable.filling = true;
                startable.until = startable.until.into_iter().chain(until).min();
            }
        }
    }
    startable
}
