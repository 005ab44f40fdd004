//! A destination that counts every limit strictly, a way to it that takes any time up to the
//! guard's edge, and a caller that sends whenever it may. In virtual time.

#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::tests::{EDGE_US, book_of, broken_by, charges, kinds, plain};
use super::*;
use crate::time::Mono;

/// How long requests take: to the destination, and from their arrival to their answer, in
/// microseconds. Used in turn.
struct Way<'a> {
    there_us: &'a [u64],
    back_us: &'a [u64],
}

/// The arrivals of a greedy caller until then, with their answers.
fn arrivals(kinds: &[LimitKind], guard: Guard, way: &Way<'_>, end: Mono) -> Vec<(u64, u64)> {
    let (mut book, keys) = book_of(kinds, guard);
    let (mut now, mut arrived) = (Mono(0), Vec::new());
    let mut acquired = Vec::new();
    let mut answers: BinaryHeap<Reverse<(Mono, usize)>> = BinaryHeap::new();
    while now < end {
        while answers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Reverse((at, index)) = answers.pop().unwrap();
            let acquisition: &mut Option<Acquisition> = &mut acquired[index];
            book.release(acquisition.take().unwrap(), at);
        }
        match book.try_acquire(&charges(&keys), now) {
            Ok(acquisition) => {
                let index = acquired.len();
                let arrival = now.plus_us(way.there_us[index % way.there_us.len()]);
                let answer = arrival.plus_us(way.back_us[index % way.back_us.len()]);
                arrived.push((arrival.0, answer.0));
                acquired.push(Some(acquisition));
                answers.push(Reverse((answer, index)));
            }
            Err(refusal) => {
                let answer = answers.peek().map_or(Mono::FAR, |Reverse((at, _))| *at);
                assert!(refusal.until > now, "a refusal says when to come back");
                now = refusal.until.min(answer);
            }
        }
    }
    arrived
}

/// The most requests that were at the destination at once.
fn most_at_once(arrived: &[(u64, u64)]) -> usize {
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for (arrival, answer) in arrived.iter().filter(|(arrival, answer)| arrival < answer) {
        changes.extend([(*arrival, 1), (*answer, -1)]);
    }
    changes.sort_unstable();
    let mut here = 0;
    let counts = changes.into_iter().map(|(_, change)| {
        here += change;
        usize::try_from(here).unwrap()
    });
    counts.max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn strict_destination_refuses_nothing_for_any_delay_within_the_edge(
        kinds in prop::collection::vec(kinds(), 1..4),
        slots in prop::option::of(1..20_u32),
        there_us in prop_oneof![
            prop::collection::vec(0..=EDGE_US, 97),
            prop::collection::vec(prop_oneof![9 => 0..1000_u64, 1 => 0..=EDGE_US], 97),
        ],
        back_us in prop_oneof![
            Just(vec![0_u64]),
            (0..300_000_u64).prop_map(|us| vec![us]),
            prop::collection::vec(0..300_000_u64, 89),
        ],
    ) {
        let slots = slots.map(|max| LimitKind::Concurrency { max });
        let all: Vec<LimitKind> = kinds.iter().copied().chain(slots).collect();
        let way = Way { there_us: &there_us, back_us: &back_us };
        let mut arrived = arrivals(&all, Guard::default(), &way, Mono(20_000_000));
        arrived.truncate(600);
        let at = plain(arrived.iter().map(|(arrival, _)| *arrival).collect());
        for kind in kinds {
            prop_assert_eq!(broken_by(kind, &at), None, "{:?}", kind);
        }
        if let Some(LimitKind::Concurrency { max }) = slots {
            prop_assert!(most_at_once(&arrived) <= max as usize);
        }
    }
}

const fn bucket(rate: u32, burst: u32) -> LimitKind {
    LimitKind::TokenBucket {
        rate,
        per_ms: 1000,
        burst,
    }
}

const fn window(max: u32, window_ms: u64) -> LimitKind {
    LimitKind::Window { max, window_ms }
}

const fn interval(interval_ms: u64) -> LimitKind {
    LimitKind::MinInterval { interval_ms }
}

const SLOTS: LimitKind = LimitKind::Concurrency { max: 8 };

/// The share of the requests that a greedy caller without a guard would have made.
fn used(kinds: &[LimitKind], way: &Way<'_>) -> f64 {
    let end = Mono(300_000_000);
    let made = arrivals(kinds, Guard::default(), way, end).len();
    let possible = arrivals(kinds, Guard::NONE, way, end).len();
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let share = made as f64 / possible as f64;
    eprintln!("{share:.3} of {possible}: {kinds:?}");
    share
}

#[test]
fn each_kind_and_their_combinations_use_95_percent() {
    // A way of up to a millisecond there, and an answer in another one to two.
    let near = Way {
        there_us: &[300, 900, 100, 500, 700],
        back_us: &[1000, 1800, 1200],
    };
    for kinds in [
        vec![bucket(20, 5)],
        vec![bucket(10, 1)],
        vec![bucket(300, 30)],
        vec![bucket(300, 3)],
        vec![window(10, 1000)],
        vec![window(250, 15_000)],
        vec![SLOTS],
        vec![interval(100)],
        vec![interval(1000)],
        vec![bucket(10, 5), window(10, 1000), SLOTS, interval(100)],
        vec![bucket(10, 1), window(150, 15_000), SLOTS, interval(100)],
        vec![bucket(20, 5), window(20, 1000), interval(50)],
        vec![bucket(40, 10), window(400, 10_000), SLOTS],
    ] {
        let used = used(&kinds, &near);
        assert!((0.95..=1.000_001).contains(&used), "{used}: {kinds:?}");
    }
}

#[test]
fn slow_destination_with_a_steady_answer_uses_95_percent() {
    let slow = Way {
        there_us: &[300, 900, 100, 500, 700],
        back_us: &[80_000, 80_800, 80_200],
    };
    for kinds in [
        vec![interval(100)],
        vec![bucket(10, 1)],
        vec![window(20, 1000)],
        vec![bucket(10, 3), window(20, 1000), SLOTS, interval(100)],
    ] {
        let used = used(&kinds, &slow);
        assert!((0.95..=1.000_001).contains(&used), "{used}: {kinds:?}");
    }
}
