//! The guard's promise and the throughput that it leaves, in virtual time.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::time::{Mono, Wall, WallOffset};

pub(super) const EDGE_US: u64 = 50_000;
const HOUR_MS: u64 = 3_600_000;

/// One attempt to acquire: the time since the last one, how far the clock steps back, and how long
/// the request travels.
type Attempt = (u64, u64, u64);

pub(super) fn kinds() -> impl Strategy<Value = LimitKind> {
    prop_oneof![
        (
            1..400_u32,
            prop_oneof![Just(1000_u64), 100..60_000_u64],
            1..60_u32
        )
            .prop_map(|(rate, per_ms, burst)| LimitKind::TokenBucket {
                rate,
                per_ms,
                burst
            }),
        (1..40_u32, 1..5000_u64).prop_map(|(max, window_ms)| LimitKind::Window { max, window_ms }),
        (1..40_u32, 101..5000_u64, -9000..9000_i64).prop_map(|(max, window_ms, anchor)| {
            LimitKind::FixedWindow {
                max,
                window_ms,
                anchor: Wall(anchor),
            }
        }),
        (1..2000_u64).prop_map(|interval_ms| LimitKind::MinInterval { interval_ms }),
    ]
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let gap = prop_oneof![4 => 0..2_000_u64, 3 => 0..100_000_u64, 1 => 0..3_000_000_u64];
    let back = prop_oneof![9 => Just(0_u64), 1 => 0..5_000_000_u64];
    prop::collection::vec((gap, back, 0..EDGE_US), 1..600)
}

/// The limit as the destination defines it, checked against the arrivals and their units in order.
pub(super) fn broken_by(kind: LimitKind, arrivals: &[(u64, u32)]) -> Option<(usize, usize)> {
    let before: Vec<u128> = std::iter::once(0)
        .chain(arrivals.iter().scan(0, |sum, (_, units)| {
            *sum += u128::from(*units);
            Some(*sum)
        }))
        .collect();
    let pairs = (0..arrivals.len()).flat_map(|i| (i..arrivals.len()).map(move |j| (i, j)));
    let breaks = |(i, j): &(usize, usize)| {
        let (first, last) = (arrivals[*i].0, arrivals[*j].0);
        let (units, span_us) = (before[j + 1] - before[*i], u128::from(last - first));
        match kind {
            LimitKind::TokenBucket {
                rate,
                per_ms,
                burst,
            } => {
                let per_us = u128::from(per_ms) * 1000;
                units * per_us > u128::from(rate) * span_us + u128::from(burst) * per_us
            }
            LimitKind::Window { max, window_ms } => {
                units > u128::from(max) && span_us <= u128::from(window_ms) * 1000
            }
            LimitKind::FixedWindow {
                max,
                window_ms,
                anchor,
            } => {
                let number = |at: u64| {
                    (i128::from(at) - i128::from(anchor.0) * 1000)
                        .div_euclid(i128::from(window_ms) * 1000)
                };
                units > u128::from(max) && number(first) == number(last)
            }
            LimitKind::MinInterval { interval_ms } => {
                j == &(i + 1) && span_us < u128::from(interval_ms) * 1000
            }
            LimitKind::Concurrency { .. } => false,
        }
    };
    pairs.into_iter().find(breaks)
}

/// Arrivals of requests of one unit, in order.
pub(super) fn plain(mut arrivals: Vec<u64>) -> Vec<(u64, u32)> {
    arrivals.sort_unstable();
    arrivals.into_iter().map(|at| (at, 1)).collect()
}

pub(super) fn book_of(kinds: &[LimitKind], guard: Guard) -> (LimitBook, Vec<LimitKey>) {
    let mut book = LimitBook::new();
    let keys: Vec<_> = (0..kinds.len())
        .map(|i| LimitKey::new(i.to_string()))
        .collect();
    for (key, kind) in keys.iter().zip(kinds) {
        book.define(key.clone(), *kind, guard, Mono(0));
    }
    (book, keys)
}

pub(super) fn charges(keys: &[LimitKey]) -> Vec<Charge> {
    keys.iter().cloned().map(Charge::one).collect()
}

/// The instants of a caller that acquires whenever the book admits it.
fn greedy(kinds: &[LimitKind], guard: Guard, seconds: u64) -> Vec<Mono> {
    let (mut book, keys) = book_of(kinds, guard);
    let (mut now, mut drawn) = (Mono(0), Vec::new());
    while now < Mono(seconds * 1_000_000) {
        match book.try_acquire(&charges(&keys), now) {
            Ok(draw) => {
                drawn.push(draw.at);
                book.release(draw, now);
            }
            Err(refusal) => {
                assert!(refusal.until > now, "a refusal says when to come back");
                now = refusal.until;
            }
        }
    }
    drawn
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arrivals_delayed_inside_the_edge_never_break_a_limit(
        kinds in prop::collection::vec(kinds(), 1..4),
        attempts in attempts(),
    ) {
        let (mut book, keys) = book_of(&kinds, Guard::default());
        let (mut now, mut arrivals) = (0, Vec::new());
        for (gap, back, travel) in attempts {
            now += gap;
            if let Ok(draw) = book.try_acquire(&charges(&keys), Mono(now.saturating_sub(back))) {
                arrivals.push(draw.at.0 + travel);
            }
        }
        let arrivals = plain(arrivals);
        for kind in kinds {
            prop_assert_eq!(broken_by(kind, &arrivals), None, "{:?}", kind);
        }
    }

    /// Requests that cost differently, up to all that a limit holds, delayed inside the edge.
    #[test]
    fn costs_of_any_size_break_no_limit(
        kind in kinds(),
        costs in prop::collection::vec((1..=100_u32, 0..EDGE_US, prop_oneof![3 => Just(0_u64),
            1 => 0..500_000_u64]), 1..300),
    ) {
        let (mut book, keys) = book_of(&[kind], Guard::default());
        let most = match kind {
            LimitKind::TokenBucket { burst, .. } => burst,
            LimitKind::Window { max, .. } | LimitKind::FixedWindow { max, .. } => max,
            LimitKind::Concurrency { .. } | LimitKind::MinInterval { .. } => 1,
        };
        let (mut now, mut arrivals) = (Mono(0), Vec::new());
        for (percent, travel, gap) in costs {
            let units = (u64::from(most) * u64::from(percent)).div_ceil(100);
            let charge = [Charge { key: keys[0].clone(), units: u32::try_from(units).unwrap() }];
            prop_assert_eq!(book.exceeds(&charge), None);
            now = now.plus_us(gap);
            // Requests in flight move the instant. Each refusal names the next try, and one of them
            // succeeds.
            let draw = loop {
                match book.try_acquire(&charge, now) {
                    Ok(draw) => break draw,
                    Err(refusal) => {
                        prop_assert!(refusal.until > now && refusal.until != Mono::FAR);
                        now = refusal.until;
                    }
                }
            };
            arrivals.push((draw.at.0 + travel, charge[0].units));
            // Some are answered at once, the others never.
            if travel % 3 == 0 {
                now = now.plus_us(travel);
                book.release(draw, now);
            }
        }
        arrivals.sort_unstable();
        prop_assert_eq!(broken_by(kind, &arrivals), None);
    }

    /// Requests that a stall holds up on the way, as many as a concurrency limit lets out at once:
    /// each arrives at any instant before its answer, and its answer comes within the guard's
    /// reach.
    #[test]
    fn stalls_on_the_way_break_no_limit(
        rate in 1..400_u32,
        burst in 1..60_u32,
        (max, window_ms) in (1..40_u32, 1..5000_u64),
        costliest in 1..4_u32,
        legs in prop::collection::vec(
            (0..30_000_u64, prop_oneof![4 => 0..20_000_u64, 1 => 0..1_000_000_u64], 0..=100_u64,
                any::<u32>()),
            1..400,
        ),
    ) {
        let guard = Guard::default();
        let cut = u64::from(rate) * guard.edge_ms / 1000;
        // The requests in flight and one more fit into the part of the burst that the guard leaves.
        let beside = u64::from(burst).saturating_sub(cut) / u64::from(costliest);
        let slots = u32::try_from(beside.saturating_sub(1)).unwrap().max(1);
        prop_assume!(costliest == 1 || beside >= 2);
        prop_assume!(costliest <= max);
        let bucket = LimitKind::TokenBucket { rate, per_ms: 1000, burst };
        // Without a burst for the edge, a bucket keeps to the edge and not to the reach.
        prop_assume!(u64::from(burst - 1) >= cut);
        let window = LimitKind::Window { max, window_ms };
        let fixed = LimitKind::FixedWindow { max, window_ms, anchor: Wall(-7) };
        for (kind, slots) in [(bucket, slots), (window, 64), (fixed, 64)] {
            let (mut book, keys) = book_of(&[kind, LimitKind::Concurrency { max: slots }], guard);
            let (mut now, mut arrivals) = (0, Vec::new());
            let mut out: Vec<(u64, Acquisition)> = Vec::new();
            for (gap, travel, arrives_after, units) in &legs {
                now += gap;
                out.sort_by_key(|(answer, _)| *answer);
                while out.first().is_some_and(|(answer, _)| *answer <= now) {
                    let (answer, draw) = out.remove(0);
                    book.release(draw, Mono(answer));
                }
                let units = units % costliest + 1;
                let charge = |key: &LimitKey| Charge { key: key.clone(), units };
                let charges: Vec<Charge> = keys.iter().map(charge).collect();
                while let Ok(draw) = book.try_acquire(&charges, Mono(now)) {
                    arrivals.push((now + travel * arrives_after / 100, units));
                    out.push((now + travel, draw));
                }
            }
            arrivals.sort_unstable();
            prop_assert_eq!(broken_by(kind, &arrivals), None, "{:?}", kind);
        }
    }

    #[test]
    fn refusal_names_the_earliest_instant(kinds in prop::collection::vec(kinds(), 1..4),
        attempts in attempts()) {
        let (mut book, keys) = book_of(&kinds, Guard::default());
        let mut now = 0;
        for (gap, ..) in attempts {
            now += gap;
            let refusal = match book.try_acquire(&charges(&keys), Mono(now)) {
                Ok(draw) => {
                    book.release(draw, Mono(now));
                    continue;
                }
                Err(refusal) => refusal,
            };
            prop_assert!(refusal.until > Mono(now));
            prop_assert_eq!(book.headroom(&keys, Mono(now), 0).units, 0);
            now = refusal.until.0 - 1;
            prop_assert!(book.try_acquire(&charges(&keys), Mono(now)).is_err(),
                "not a microsecond before");
            now += 1;
            let draw = book.try_acquire(&charges(&keys), Mono(now));
            prop_assert!(draw.is_ok());
            book.release(draw.unwrap(), Mono(now));
        }
    }

    #[test]
    fn headroom_of_one_limit_is_what_a_greedy_caller_gets(kind in kinds(),
        warm_us in 0..5_000_000_u64, horizon_ms in 0..1000_u64) {
        let (mut book, keys) = book_of(&[kind], Guard::default());
        while let Ok(draw) = book.try_acquire(&charges(&keys), Mono(warm_us / 2)) {
            book.release(draw, Mono(warm_us / 2));
        }
        let forecast = book.headroom(&keys, Mono(warm_us), horizon_ms).units;
        let (mut now, mut count) = (Mono(warm_us), 0);
        while now <= Mono(warm_us).plus_ms(horizon_ms) {
            match book.try_acquire(&charges(&keys), now) {
                Ok(draw) => {
                    count += 1;
                    book.release(draw, now);
                }
                Err(refusal) => now = refusal.until,
            }
        }
        // A paced bucket holds one token, so a fraction of a microsecond is lost with each.
        prop_assert!((count..=count + 1).contains(&forecast), "{forecast} and {count}");
    }

    #[test]
    fn observations_open_nothing(
        kind in kinds(),
        gaps in prop::collection::vec((0..200_000_u64, 0..50_u64, 0..50_u64, 0..3000_u64), 1..100),
    ) {
        let (mut told, keys) = book_of(&[kind], Guard::default());
        let (mut deaf, _) = book_of(&[kind], Guard::default());
        let (mut now, mut drawn) = (0, 0);
        for (gap, limit, remaining, reset) in gaps {
            now += gap;
            told.observe(&keys[0], Some(limit), Some(remaining), Some(reset), HOUR_MS,
                Mono(now));
            // Greedy counts are the most that a limit admits up to any instant.
            while let Ok(draw) = deaf.try_acquire(&charges(&keys), Mono(now)) {
                deaf.release(draw, Mono(now));
                drawn += 1;
            }
            while let Ok(draw) = told.try_acquire(&charges(&keys), Mono(now)) {
                told.release(draw, Mono(now));
                drawn -= 1;
            }
            prop_assert!(drawn >= 0);
        }
    }
}

#[test]
fn greedy_caller_reaches_95_percent_of_the_possible() {
    let bucket = |rate, burst| LimitKind::TokenBucket {
        rate,
        per_ms: 1000,
        burst,
    };
    let window = |max, window_ms| LimitKind::Window { max, window_ms };
    let fixed = |max, window_ms| LimitKind::FixedWindow {
        max,
        window_ms,
        anchor: Wall(0),
    };
    for kinds in [
        vec![bucket(20, 5), window(250, 15_000)],
        vec![bucket(300, 30)],
        vec![window(100, 1000)],
        vec![fixed(500, 10_000)],
    ] {
        let drawn = greedy(&kinds, Guard::default(), 200);
        let possible = greedy(&kinds, Guard::NONE, 200);
        assert!(
            drawn.len() * 100 >= possible.len() * 95,
            "{kinds:?}: {} of {}",
            drawn.len(),
            possible.len()
        );

        let mut meter = UsageMeter::new(&kinds, &[], Mono(0), WallOffset::default());
        meter.demand(Mono(0), true);
        for at in drawn {
            meter.acquired(at, &[]);
        }
        let used = meter.used().unwrap();
        assert!((0.95..=1.000_001).contains(&used), "{kinds:?}: {used}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The meter never reports more use than was possible.
    #[test]
    fn use_never_exceeds_the_possible(
        kinds in prop::collection::vec(kinds(), 1..3),
        steps in prop::collection::vec((0..100_000_u64, any::<bool>(), prop::option::weighted(0.1,
            0..500_000_u64)), 1..400),
    ) {
        let (mut book, keys) = book_of(&kinds, Guard::default());
        let mut meter = UsageMeter::new(&kinds, &[], Mono(0), WallOffset::default());
        let mut now = 0;
        for (gap, demand, closure) in steps {
            now += gap;
            meter.demand(Mono(now), demand);
            if let Some(length) = closure {
                book.close(keys[0].clone(), Mono(now + length));
                meter.closed(Mono(now), Mono(now + length));
            }
            while let Ok(draw) = book.try_acquire(&charges(&keys), Mono(now)) {
                meter.acquired(draw.at, &[]);
            }
            prop_assert!(meter.requests() <= meter.possible(), "{} of {}", meter.requests(),
                meter.possible());
        }
    }
}
