//! The outside events of one run, from one seed: connections, executions, pauses, cancels, crashes.

use std::collections::{BTreeMap, HashMap};

use egression_core::domain::action::Action;
use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, SubscriptionId, TypeHash};
use egression_core::scheduler::limits::LimitKind;
use egression_core::scheduler::{
    Availability, ConnectionRules, Head, PackingRule, SchedulerBounds,
};
use egression_core::time::Mono;

use crate::destination::Destination;
use crate::rng::Rng;
use crate::store;
use crate::world::{Event, Trouble, World};

/// All outside events happen within this time.
const SPAN_MS: u64 = 20_000;

/// A world with all of its outside events.
pub(crate) fn random(seed: u64) -> World {
    let mut rng = Rng(seed);
    let mut destination = Destination::default();
    let connections = 1 + rng.below(4);
    let mut rules = BTreeMap::new();
    for id in 1..=connections {
        let id = i64::try_from(id).expect("few");
        bind(&mut destination, &mut rng, id);
        rules.insert(ConnectionId(id), rules_of(&mut rng, id));
    }
    let window = 4 + rng.below(60) as usize;
    let bounds = SchedulerBounds {
        window,
        page: 1 + rng.below(20) as usize,
        low_water: 1 + rng.below(16) as usize,
        ..SchedulerBounds::default()
    };
    let trouble = Trouble {
        retry: rng.below(15),
        again: rng.below(15),
        throttle: rng.below(10),
        dependency: rng.below(10),
        lost: rng.below(4),
        reject: rng.below(6),
        halve: rng.below(10),
        outage: rng.below(6),
        unread: rng.below(8),
        ordered: rng.percent(70),
    };
    let mut world = World::new(seed, bounds, rules, destination, trouble, rng.clone());
    for seq in 1..=4 + rng.below(25) {
        let execution = ExecutionSeq(i64::try_from(seq).expect("few"));
        let at = Mono(0).plus_ms(rng.below(SPAN_MS / 2));
        let jobs = jobs(&mut rng, execution, connections, at);
        world.plan(at, Event::Submit(execution, jobs));
        acts(&mut rng, &mut world, execution);
    }
    for id in 1..=connections {
        outages(
            &mut rng,
            &mut world,
            ConnectionId(i64::try_from(id).expect("few")),
        );
    }
    for _ in 0..rng.below(3) {
        world.plan(Mono(0).plus_ms(rng.below(SPAN_MS)), Event::Crash);
    }
    world
}

fn bind(destination: &mut Destination, rng: &mut Rng, id: i64) {
    let own = format!("own:{id}");
    let kind = match rng.below(4) {
        0 => LimitKind::TokenBucket {
            rate: 20 + u32::try_from(rng.below(200)).expect("small"),
            per_ms: 1000,
            burst: 20,
        },
        1 => LimitKind::Window {
            max: 50,
            window_ms: 1000,
        },
        2 => LimitKind::Concurrency {
            max: 1 + u32::try_from(rng.below(4)).expect("small"),
        },
        _ => LimitKind::MinInterval {
            interval_ms: 1 + rng.below(20),
        },
    };
    let shared = LimitKind::TokenBucket {
        rate: 300,
        per_ms: 1000,
        burst: 30,
    };
    let limits = [(own.as_str(), kind), ("shared", shared)];
    let bound = if rng.percent(50) {
        &limits[..]
    } else {
        &limits[..1]
    };
    destination.bind(ConnectionId(id), bound);
}

fn rules_of(rng: &mut Rng, id: i64) -> ConnectionRules {
    let mut packing = HashMap::new();
    for type_hash in 0..3 {
        let max_items = [1, 1, 3, 10][rng.below(4) as usize];
        let rule = PackingRule {
            max_items,
            full_items: max_items,
            max_in_flight: [0, 0, 1, 2][rng.below(4) as usize],
            max_wait_ms: [0, 0, 50, 500][rng.below(4) as usize],
            mixed_actions: rng.percent(50),
            requests_per_call: if rng.percent(30) { max_items } else { 1 },
        };
        packing.insert(TypeHash(type_hash), rule);
    }
    let on_failure = [
        BeltOnFailure::Continue,
        BeltOnFailure::Continue,
        BeltOnFailure::Abort,
    ][rng.below(3) as usize];
    ConnectionRules {
        connection: ConnectionId(id),
        subscription: SubscriptionId(1 + (id % 3)),
        weight: 1 + u32::try_from(rng.below(3)).expect("small"),
        max_calls: 1 + u32::try_from(rng.below(5)).expect("small"),
        belt_on_failure: on_failure,
        packing,
    }
}

fn jobs(
    rng: &mut Rng,
    execution: ExecutionSeq,
    connections: u64,
    at: Mono,
) -> Vec<(Head, Option<Mono>)> {
    let size = if rng.percent(30) {
        1
    } else {
        1 + rng.below(80)
    };
    // From a key of its own for each object to one key for all.
    let keys = [1, 3, 20, 1000][rng.below(4) as usize];
    let belts = 1 + rng.below(3);
    let priorities = [1, 1, 3][rng.below(3) as usize];
    let scheduled = [0, 0, 30][rng.below(3) as usize];
    (0..size)
        .map(|index| {
            let connection = 1 + i64::try_from(rng.below(connections)).expect("few");
            let object = rng.below(60);
            // Some jobs bring a key of their own, so that one object has several.
            let key = if rng.percent(10) {
                5000 + rng.below(30)
            } else {
                object % keys
            };
            let kind = (
                i64::try_from(object % 3).expect("small"),
                Action::ALL[rng.below(4) as usize],
            );
            let belt = 1 + u32::try_from(rng.below(belts)).expect("small");
            let priority = i8::try_from(rng.below(priorities)).expect("small") * 5 - 5;
            let job = execution.job(u32::try_from(index).expect("small"));
            let (key, object) = (
                i64::try_from(key).expect("small"),
                i64::try_from(object).expect("small"),
            );
            let due = rng.percent(scheduled).then(|| at.plus_ms(rng.below(5000)));
            (
                store::head(job, connection, belt, key, object, kind, priority),
                due,
            )
        })
        .collect()
}

fn acts(rng: &mut Rng, world: &mut World, execution: ExecutionSeq) {
    let at = |rng: &mut Rng| Mono(0).plus_ms(rng.below(SPAN_MS));
    for _ in 0..rng.below(3) {
        let from = at(rng);
        world.plan(from, Event::Pause(execution, true));
        world.plan(
            from.plus_ms(rng.below(3000)),
            Event::Pause(execution, false),
        );
    }
    if rng.percent(15) {
        world.plan(at(rng), Event::Cancel(execution));
    }
    for _ in 0..rng.below(4) {
        let job = execution.job(u32::try_from(rng.below(80)).expect("small"));
        world.plan(at(rng), Event::CancelJob(job));
    }
    // In the end nothing is paused.
    world.plan(Mono(0).plus_ms(2 * SPAN_MS), Event::Pause(execution, false));
}

fn outages(rng: &mut Rng, world: &mut World, connection: ConnectionId) {
    for _ in 0..rng.below(3) {
        let from = Mono(0).plus_ms(rng.below(SPAN_MS));
        let to = from.plus_ms(rng.below(2000));
        match rng.below(3) {
            0 => {
                world.plan(from, Event::Gate(connection, Availability::CircuitOpen(to)));
                world.plan(to, Event::Gate(connection, Availability::Open));
            }
            1 => {
                world.plan(from, Event::Gate(connection, Availability::Paused));
                world.plan(to, Event::Gate(connection, Availability::Open));
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
        Event::Gate(connection, Availability::Open),
    );
}
