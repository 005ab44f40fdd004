//! A large execution delays neither another subscription nor a single job of its own.

use std::collections::{BTreeMap, HashMap};

use egression_core::domain::action::Action;
use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, SubscriptionId, TypeHash};
use egression_core::scheduler::limits::LimitKind;
use egression_core::scheduler::{ConnectionRules, Head, PackingRule, SchedulerBounds};
use egression_core::time::Mono;

use crate::destination::Destination;
use crate::rng::Rng;
use crate::store::head;
use crate::world::{Event, Trouble, World};

const BULK: u32 = 5000;
/// Calls that may start between the moment a single job is sealed and its own.
const PATIENCE: usize = 30;

fn world(items: u32) -> World {
    let mut destination = Destination::default();
    let mut rules = BTreeMap::new();
    let packing = PackingRule {
        max_items: items,
        ..PackingRule::default()
    };
    for id in 1..=2 {
        let limit = LimitKind::TokenBucket {
            rate: 100,
            per_ms: 1000,
            burst: 10,
        };
        destination.bind(ConnectionId(id), &[("shared", limit)]);
        let rule = ConnectionRules {
            connection: ConnectionId(id),
            subscription: SubscriptionId(id),
            weight: 1,
            max_calls: 8,
            belt_on_failure: BeltOnFailure::Continue,
            packing: HashMap::from([(TypeHash(0), packing)]),
        };
        rules.insert(ConnectionId(id), rule);
    }
    World::new(
        1,
        SchedulerBounds::default(),
        rules,
        destination,
        Trouble {
            ordered: true,
            ..Trouble::default()
        },
        Rng(1),
    )
}

fn single(seq: i64, connection: i64) -> Vec<(Head, Option<Mono>)> {
    vec![(
        head(
            ExecutionSeq(seq).job(0),
            connection,
            1,
            900_000 + seq,
            900_000 + seq,
            (0, Action::Upsert),
            0,
        ),
        None,
    )]
}

fn bulk(seq: i64, priority: i8) -> Vec<(Head, Option<Mono>)> {
    (0..BULK)
        .map(|i| {
            (
                head(
                    ExecutionSeq(seq).job(i),
                    1,
                    1,
                    i64::from(i),
                    i64::from(i),
                    (0, Action::Upsert),
                    priority,
                ),
                None,
            )
        })
        .collect()
}

/// Calls that started after one execution was sealed and before its first job went.
fn waited(world: &World, seq: i64, at: Mono) -> usize {
    let mine = |claim: &egression_core::scheduler::Claim| {
        claim
            .heads
            .iter()
            .any(|head| head.job.execution() == ExecutionSeq(seq))
    };
    let started = world
        .checks
        .started_at
        .iter()
        .filter(|started| **started <= at)
        .count();
    world
        .checks
        .claims
        .iter()
        .position(mine)
        .expect("every job goes")
        .saturating_sub(started)
}

fn singles_wait_for_few_calls(items: u32) {
    let mut world = world(items);
    world.plan(Mono(0), Event::Submit(ExecutionSeq(1), bulk(1, 0)));
    let mut singles = Vec::new();
    for index in 0..20_i64 {
        let (seq, at) = (
            2 + index,
            Mono(0).plus_ms(1000 + 150 * index.unsigned_abs()),
        );
        world.plan(
            at,
            Event::Submit(ExecutionSeq(seq), single(seq, 1 + index % 2)),
        );
        singles.push((seq, at));
    }
    world.run();
    for (seq, at) in singles {
        let waited = waited(&world, seq, at);
        assert!(
            waited <= PATIENCE,
            "execution {seq} waited for {waited} calls"
        );
    }
}

#[test]
fn bulk_delays_no_single_job() {
    singles_wait_for_few_calls(1);
}

#[test]
fn packed_bulk_delays_no_single_job() {
    singles_wait_for_few_calls(5);
}

#[test]
fn lowest_priority_advances_despite_an_older_bulk() {
    let mut world = world(1);
    world.plan(Mono(0), Event::Submit(ExecutionSeq(1), bulk(1, 10)));
    let mut low = single(2, 1);
    low[0].0.priority = -10;
    let at = Mono(0).plus_ms(2000);
    world.plan(at, Event::Submit(ExecutionSeq(2), low));
    world.run();
    let waited = waited(&world, 2, at);
    assert!(waited <= PATIENCE, "{waited} calls");
}

#[test]
fn bulks_leave_room_for_a_single_job() {
    let mut world = world(1);
    for seq in 1..=20 {
        let jobs = bulk(seq, 0).into_iter().take(600).map(|(mut head, due)| {
            head.key.0 += 10_000 * seq;
            head.object.0 += 10_000 * seq;
            (head, due)
        });
        world.plan(Mono(0), Event::Submit(ExecutionSeq(seq), jobs.collect()));
    }
    let at = Mono(0).plus_ms(30_000);
    world.plan(at, Event::Submit(ExecutionSeq(50), single(50, 1)));
    world.run();
    let waited = waited(&world, 50, at);
    assert!(waited <= PATIENCE, "{waited} calls");
}
