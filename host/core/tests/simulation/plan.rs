//! What happens from outside in one run: connections, executions, pauses, cancels, crashes. All
//! from one seed.

use std::collections::{BTreeMap, HashMap};

use egression_core::domain::action::Action;
use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, SubscriptionId};
use egression_core::scheduler::limits::LimitKind;
use egression_core::scheduler::{ConnectionRules, Gating, Head, PackingRule, SchedulerBounds};
use egression_core::time::Mono;

use crate::chance::Chance;
use crate::destination::Destination;
use crate::store;
use crate::world::{Event, Trouble, World};

/// Everything that happens from outside happens within this time.
const SPAN_MS: u64 = 20_000;

/// A world with everything that will happen to it from outside.
pub(crate) fn random(seed: u64) -> World {
    let mut chance = Chance(seed);
    let mut destination = Destination::default();
    let connections = 1 + chance.below(4);
    let mut rules = BTreeMap::new();
    for id in 1..=connections {
        let id = i64::try_from(id).expect("few");
        bind(&mut destination, &mut chance, id);
        rules.insert(ConnectionId(id), rules_of(&mut chance, id));
    }
    let window = 4 + chance.below(60) as usize;
    let bounds = SchedulerBounds {
        window,
        page: 1 + chance.below(20) as usize,
        low_water: 1 + chance.below(16) as usize,
        ..SchedulerBounds::default()
    };
    let trouble = Trouble {
        retry: chance.below(15),
        again: chance.below(15),
        throttle: chance.below(10),
        dependency: chance.below(10),
        lost: chance.below(4),
        reject: chance.below(6),
        halve: chance.below(10),
        outage: chance.below(6),
        unread: chance.below(8),
        ordered: chance.percent(70),
    };
    let mut world = World::new(seed, bounds, rules, destination, trouble, chance.clone());
    for seq in 1..=4 + chance.below(25) {
        let execution = ExecutionSeq(i64::try_from(seq).expect("few"));
        let at = Mono(0).plus_ms(chance.below(SPAN_MS / 2));
        let jobs = jobs(&mut chance, execution, connections, at);
        world.plan(at, Event::Submit(execution, jobs));
        acts(&mut chance, &mut world, execution);
    }
    for id in 1..=connections {
        outages(
            &mut chance,
            &mut world,
            ConnectionId(i64::try_from(id).expect("few")),
        );
    }
    for _ in 0..chance.below(3) {
        world.plan(Mono(0).plus_ms(chance.below(SPAN_MS)), Event::Crash);
    }
    world
}

fn bind(destination: &mut Destination, chance: &mut Chance, id: i64) {
    let own = format!("own:{id}");
    let kind = match chance.below(4) {
        0 => LimitKind::TokenBucket {
            rate: 20 + u32::try_from(chance.below(200)).expect("small"),
            per_ms: 1000,
            burst: 20,
        },
        1 => LimitKind::Window {
            max: 50,
            window_ms: 1000,
        },
        2 => LimitKind::Concurrency {
            max: 1 + u32::try_from(chance.below(4)).expect("small"),
        },
        _ => LimitKind::MinInterval {
            interval_ms: 1 + chance.below(20),
        },
    };
    let shared = LimitKind::TokenBucket {
        rate: 300,
        per_ms: 1000,
        burst: 30,
    };
    let limits = [(own.as_str(), kind), ("shared", shared)];
    let bound = if chance.percent(50) {
        &limits[..]
    } else {
        &limits[..1]
    };
    destination.bind(ConnectionId(id), bound);
}

fn rules_of(chance: &mut Chance, id: i64) -> ConnectionRules {
    let mut packing = HashMap::new();
    for type_hash in 0..3 {
        let rule = PackingRule {
            max_items: [1, 1, 3, 10][chance.below(4) as usize],
            max_in_flight: [0, 0, 1, 2][chance.below(4) as usize],
            max_wait_ms: [0, 0, 50, 500][chance.below(4) as usize],
            mixed_actions: chance.percent(50),
            requests_per_call: 1,
        };
        packing.insert(type_hash, rule);
    }
    let on_failure = [
        BeltOnFailure::Continue,
        BeltOnFailure::Continue,
        BeltOnFailure::Abort,
    ][chance.below(3) as usize];
    ConnectionRules {
        connection: ConnectionId(id),
        subscription: SubscriptionId(1 + (id % 3)),
        weight: 1 + u32::try_from(chance.below(3)).expect("small"),
        max_calls: 1 + u32::try_from(chance.below(5)).expect("small"),
        belt_on_failure: on_failure,
        packing,
    }
}

fn jobs(
    chance: &mut Chance,
    execution: ExecutionSeq,
    connections: u64,
    at: Mono,
) -> Vec<(Head, Option<Mono>)> {
    let size = if chance.percent(30) {
        1
    } else {
        1 + chance.below(80)
    };
    // From a key of its own for each object to one key for all.
    let keys = [1, 3, 20, 1000][chance.below(4) as usize];
    let belts = 1 + chance.below(3);
    let priorities = [1, 1, 3][chance.below(3) as usize];
    let scheduled = [0, 0, 30][chance.below(3) as usize];
    (0..size)
        .map(|index| {
            let connection = 1 + i64::try_from(chance.below(connections)).expect("few");
            let object = chance.below(60);
            // Some jobs bring a key of their own, so that one object has several.
            let key = if chance.percent(10) {
                5000 + chance.below(30)
            } else {
                object % keys
            };
            let kind = (
                i64::try_from(object % 3).expect("small"),
                Action::ALL[chance.below(4) as usize],
            );
            let belt = 1 + u32::try_from(chance.below(belts)).expect("small");
            let priority = i8::try_from(chance.below(priorities)).expect("small") * 5 - 5;
            let job = execution.job(u32::try_from(index).expect("small"));
            let (key, object) = (
                i64::try_from(key).expect("small"),
                i64::try_from(object).expect("small"),
            );
            let due = chance
                .percent(scheduled)
                .then(|| at.plus_ms(chance.below(5000)));
            (
                store::head(job, connection, belt, key, object, kind, priority),
                due,
            )
        })
        .collect()
}

fn acts(chance: &mut Chance, world: &mut World, execution: ExecutionSeq) {
    let at = |chance: &mut Chance| Mono(0).plus_ms(chance.below(SPAN_MS));
    for _ in 0..chance.below(3) {
        let from = at(chance);
        world.plan(from, Event::Pause(execution, true));
        world.plan(
            from.plus_ms(chance.below(3000)),
            Event::Pause(execution, false),
        );
    }
    if chance.percent(15) {
        world.plan(at(chance), Event::Cancel(execution));
    }
    for _ in 0..chance.below(4) {
        let job = execution.job(u32::try_from(chance.below(80)).expect("small"));
        world.plan(at(chance), Event::CancelJob(job));
    }
    // Whatever was paused goes on in the end.
    world.plan(Mono(0).plus_ms(2 * SPAN_MS), Event::Pause(execution, false));
}

fn outages(chance: &mut Chance, world: &mut World, connection: ConnectionId) {
    for _ in 0..chance.below(3) {
        let from = Mono(0).plus_ms(chance.below(SPAN_MS));
        let to = from.plus_ms(chance.below(2000));
        match chance.below(3) {
            0 => {
                world.plan(from, Event::Gate(connection, Gating::Circuit(to)));
                world.plan(to, Event::Gate(connection, Gating::Open));
            }
            1 => {
                world.plan(from, Event::Gate(connection, Gating::Paused));
                world.plan(to, Event::Gate(connection, Gating::Open));
            }
            _ => {
                world.plan(from, Event::Remove(connection));
                world.plan(to, Event::Restore(connection));
            }
        }
    }
    world.plan(Mono(0).plus_ms(2 * SPAN_MS), Event::Restore(connection));
    world.plan(
        Mono(0).plus_ms(2 * SPAN_MS),
        Event::Gate(connection, Gating::Open),
    );
}
