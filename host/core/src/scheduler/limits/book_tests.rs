//! Limits together: acquired, closed, redefined, observed.

#![allow(clippy::unwrap_used)]

use super::all_or_none::{Acquisition, Headroom, Refusal};
use super::book::LimitBook;
use super::kind::{Charge, Guard, LimitKey, LimitKind};
use crate::time::Mono;

const SECOND: u64 = 1_000_000;
const HOUR_MS: u64 = 3_600_000;

fn key(text: &str) -> LimitKey {
    LimitKey::new(text)
}

fn charges(keys: &[LimitKey]) -> Vec<Charge> {
    keys.iter().cloned().map(Charge::one).collect()
}

fn book(limits: &[(&str, LimitKind)]) -> (LimitBook, Vec<LimitKey>) {
    let mut book = LimitBook::new();
    for (name, kind) in limits {
        book.define(key(name), *kind, Guard::NONE, Mono(0));
    }
    (book, limits.iter().map(|(name, _)| key(name)).collect())
}

const BUCKET: LimitKind = LimitKind::TokenBucket {
    rate: 10,
    per_ms: 1000,
    burst: 5,
};
const WINDOW: LimitKind = LimitKind::Window {
    max: 3,
    window_ms: 1000,
};

#[test]
fn acquire_takes_all_limits_or_none() {
    let (mut book, keys) = book(&[("window", WINDOW), ("bucket", BUCKET)]);
    let refused = book.try_acquire(&charges(&keys), Mono(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal {
            until: Mono(100_000),
            key: key("bucket")
        }
    );
    for _ in 0..3 {
        let _ = book.try_acquire(&charges(&keys[..1]), Mono(0)).unwrap();
    }
    let refused = book.try_acquire(&charges(&keys), Mono(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal {
            until: Mono(SECOND + 1),
            key: key("window")
        }
    );
}

#[test]
fn slot_is_free_again_when_its_request_ends() {
    let (mut book, keys) = book(&[("slots", LimitKind::Concurrency { max: 1 })]);
    let draw = book.try_acquire(&charges(&keys), Mono(0)).unwrap();
    assert!(book.is_saturated(&keys));
    let refused = book.try_acquire(&charges(&keys), Mono(0)).unwrap_err();
    assert_eq!(
        refused,
        Refusal {
            until: Mono::FAR,
            key: key("slots")
        }
    );
    assert_eq!(
        book.headroom(&keys, Mono(0), 200).until,
        Some((key("slots"), Mono::FAR))
    );
    book.release(draw, Mono(0));
    let _ = book.try_acquire(&charges(&keys), Mono(0)).unwrap();
}

#[test]
fn release_frees_no_slot_of_a_later_limit() {
    let (mut book, keys) = book(&[("slots", LimitKind::Concurrency { max: 1 })]);
    let old = book.try_acquire(&charges(&keys), Mono(0)).unwrap();
    book.undefine(&keys[0]);
    book.define(
        keys[0].clone(),
        LimitKind::Concurrency { max: 1 },
        Guard::NONE,
        Mono(0),
    );
    let _new = book.try_acquire(&charges(&keys), Mono(0)).unwrap();
    book.release(old, Mono(0));
    assert!(book.is_saturated(&keys));
}

#[test]
fn undefined_key_can_be_closed_and_only_for_longer() {
    let (mut book, mut keys) = book(&[]);
    keys.push(key("own"));
    assert_eq!(book.headroom(&keys, Mono(0), 200).units, u32::MAX);
    book.close(key("own"), Mono(3 * SECOND));
    book.close(key("own"), Mono(2 * SECOND));
    assert_eq!(
        book.closed(&keys, Mono(0)),
        Some((key("own"), Mono(3 * SECOND)))
    );
    assert_eq!(
        book.try_acquire(&charges(&keys), Mono(SECOND))
            .unwrap_err()
            .until,
        Mono(3 * SECOND)
    );
    let headroom = book.headroom(&keys, Mono(SECOND), 200);
    assert_eq!(
        headroom,
        Headroom {
            units: 0,
            until: Some((key("own"), Mono(3 * SECOND)))
        }
    );
    let _ = book.try_acquire(&charges(&keys), Mono(3 * SECOND)).unwrap();
    assert_eq!(book.closed(&keys, Mono(3 * SECOND)), None);
}

#[test]
fn earlier_now_opens_nothing() {
    let (mut book, keys) = book(&[(
        "window",
        LimitKind::Window {
            max: 1,
            window_ms: 1000,
        },
    )]);
    let _ = book
        .try_acquire(&charges(&keys), Mono(10 * SECOND))
        .unwrap();
    assert_eq!(
        book.try_acquire(&charges(&keys), Mono(0))
            .unwrap_err()
            .until,
        Mono(11 * SECOND + 1)
    );
    assert_eq!(book.headroom(&keys, Mono(0), 200).units, 0);
    let draw = book
        .try_acquire(&charges(&keys), Mono(11 * SECOND + 1))
        .unwrap();
    assert_eq!(draw.at, Mono(11 * SECOND + 1));
    book.close(keys[0].clone(), Mono(20 * SECOND));
    assert!(book.try_acquire(&charges(&keys), Mono(0)).is_err());
}

#[test]
fn same_definition_keeps_the_state_and_another_kind_starts_anew() {
    let (mut book, keys) = book(&[("limit", BUCKET)]);
    let full = Mono(SECOND);
    book.define(keys[0].clone(), BUCKET, Guard::NONE, full);
    assert_eq!(book.headroom(&keys, full, 0).units, 5);
    book.define(
        keys[0].clone(),
        LimitKind::TokenBucket {
            rate: 10,
            per_ms: 1000,
            burst: 2,
        },
        Guard::NONE,
        full,
    );
    assert_eq!(book.headroom(&keys, full, 0).units, 2);
    book.define(keys[0].clone(), WINDOW, Guard::NONE, full);
    assert_eq!(book.headroom(&keys, full, 0).units, 3);
    book.define(keys[0].clone(), BUCKET, Guard::NONE, full);
    assert_eq!(book.headroom(&keys, full, 0).units, 0);
}

#[test]
fn headroom_looks_ahead_to_the_horizon() {
    let (mut book, keys) = book(&[("bucket", BUCKET), ("window", WINDOW)]);
    assert_eq!(book.headroom(&keys, Mono(0), 200).units, 2);
    assert_eq!(book.headroom(&keys, Mono(0), 1000).units, 3);
    book.close(keys[1].clone(), Mono(150_000));
    assert_eq!(
        book.headroom(&keys, Mono(0), 200).units,
        2,
        "the bucket fills while the window is closed"
    );
    assert_eq!(
        book.headroom(&keys, Mono(0), 100).until,
        Some((key("window"), Mono(150_000)))
    );
}

#[test]
fn restored_uses_hold_the_window_shut() {
    let (mut book, keys) = book(&[("window", WINDOW), ("bucket", BUCKET)]);
    book.restore_window(&keys[0], &[(Mono(200_000), 3)]);
    book.restore_window(&keys[1], &[(Mono(200_000), 3)]);
    assert_eq!(
        book.try_acquire(&charges(&keys), Mono(900_000))
            .unwrap_err()
            .until,
        Mono(1_200_001)
    );
}

#[test]
fn observations_tighten_every_kind_and_undefined_keys() {
    let spaced = LimitKind::MinInterval { interval_ms: 10 };
    let (mut book, keys) = book(&[
        ("spaced", spaced),
        ("slots", LimitKind::Concurrency { max: 9 }),
    ]);
    let now = Mono(SECOND);
    book.observe(&keys[0], None, Some(0), Some(700), HOUR_MS, now);
    assert_eq!(
        book.try_acquire(&charges(&keys), now).unwrap_err().until,
        Mono(1_700_000)
    );
    book.observe(&keys[1], Some(2), None, None, HOUR_MS, now);
    assert_eq!(book.headroom(&keys[1..], now, 0).units, 2);
    book.observe(&key("own"), Some(5), Some(1), Some(700), HOUR_MS, now);
    assert_eq!(book.closed(&[key("own")], now), None);
    book.observe(&key("own"), None, Some(0), Some(u64::MAX), HOUR_MS, now);
    assert_eq!(
        book.closed(&[key("own")], now),
        Some((key("own"), Mono(3601 * SECOND)))
    );
}

#[test]
fn window_keeps_its_uses_when_its_anchor_changes() {
    let window = LimitKind::Window {
        max: 10,
        window_ms: 60_000,
    };
    let fixed = LimitKind::FixedWindow {
        max: 10,
        window_ms: 60_000,
        anchor: crate::time::Wall(0),
    };
    let (mut book, keys) = book(&[("window", window)]);
    let draws: Vec<Acquisition> = (0..6)
        .map(|i| book.try_acquire(&charges(&keys), Mono(i)).unwrap())
        .collect();
    for kind in [fixed, window, fixed] {
        book.define(keys[0].clone(), kind, Guard::NONE, Mono(SECOND));
        assert_eq!(book.headroom(&keys, Mono(SECOND), 0).units, 4, "{kind:?}");
    }
    for draw in draws {
        book.release(draw, Mono(SECOND));
    }
    assert_eq!(
        book.headroom(&keys, Mono(SECOND), 0).units,
        4,
        "the answers belong to another limit"
    );
    assert_eq!(book.headroom(&keys, Mono(60 * SECOND), 0).units, 10);
}

#[test]
fn reopening_ends_closures_and_reports() {
    let day = LimitKind::FixedWindow {
        max: 10,
        window_ms: 86_400_000,
        anchor: crate::time::Wall(0),
    };
    let spaced = LimitKind::MinInterval { interval_ms: 10 };
    let (mut book, keys) = book(&[
        ("day", day),
        ("spaced", spaced),
        ("window", WINDOW),
        ("slots", LimitKind::Concurrency { max: 9 }),
    ]);
    let now = Mono(100 * SECOND);
    for key in &keys {
        book.observe(key, Some(1), Some(0), Some(86_300_000), HOUR_MS, now);
        book.close(key.clone(), now.plus_ms(HOUR_MS));
    }
    assert_eq!(book.headroom(&keys, now, 0).units, 0);
    for key in &keys {
        book.reopen(key, now);
    }
    assert_eq!(
        keys.iter()
            .map(|key| book.headroom(std::slice::from_ref(key), now, 0).units)
            .collect::<Vec<_>>(),
        [10, 1, 3, 9]
    );
}

#[test]
fn report_closes_no_limit_for_longer_than_allowed() {
    let day = |anchor| LimitKind::FixedWindow {
        max: 10,
        window_ms: 86_400_000,
        anchor: crate::time::Wall(anchor),
    };
    let sliding = LimitKind::Window {
        max: 10,
        window_ms: 86_400_000,
    };
    let spaced = LimitKind::MinInterval { interval_ms: 10 };
    let (mut book, keys) = book(&[("day", day(0)), ("sliding", sliding), ("spaced", spaced)]);
    let now = Mono(100 * SECOND);
    for key in &keys {
        book.observe(key, None, Some(0), Some(86_300_000), HOUR_MS, now);
        let refused = book.refusal(&charges(std::slice::from_ref(key)), now);
        assert_eq!(
            refused.map(|r| r.until),
            Some(now.plus_ms(HOUR_MS)),
            "{key}"
        );
        let later = now.plus_ms(HOUR_MS);
        assert_eq!(
            book.refusal(&charges(std::slice::from_ref(key)), later),
            None,
            "{key}"
        );
    }
}

#[test]
fn shorter_bound_shortens_a_closure() {
    let (mut book, mut keys) = book(&[]);
    keys.push(key("own"));
    book.close(key("own"), Mono(100 * SECOND));
    book.close_no_longer(&keys[0], Mono(200 * SECOND));
    assert_eq!(
        book.closed(&keys, Mono(0)),
        Some((key("own"), Mono(100 * SECOND)))
    );
    book.close_no_longer(&keys[0], Mono(3 * SECOND));
    assert_eq!(
        book.closed(&keys, Mono(0)),
        Some((key("own"), Mono(3 * SECOND)))
    );
}
