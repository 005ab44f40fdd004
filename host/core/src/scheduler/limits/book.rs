//! All limits of a node by name: the one place where a request is admitted.

use std::collections::HashMap;

use super::kind::{Charge, Guard, LimitKey, LimitKind};
use super::limit::{Limit, exhausted_until};
use crate::time::{Mono, WallOffset};

/// The limits and closures by key. A key that is neither defined nor closed admits everything.
#[derive(Debug, Default)]
pub struct LimitBook {
    limits: HashMap<LimitKey, Entry>,
    closed: HashMap<LimitKey, Mono>,
    /// The latest instant seen; an earlier `now` counts as this.
    latest: Mono,
    generations: u64,
    offset: WallOffset,
}

#[derive(Debug)]
struct Entry {
    kind: LimitKind,
    guard: Guard,
    limit: Limit,
    /// Tells the slots of this entry from those of an earlier one of the same key.
    generation: u64,
}

/// One request, admitted by all its limits. Give it back to [`LimitBook::release`] when the answer
/// is there.
#[derive(Debug)]
#[must_use = "a draw holds its slots of concurrency limits until it is finished"]
pub struct Acquired {
    pub at: Mono,
    /// What it took of which limits, with their generations.
    from: Vec<(Charge, u64)>,
}

/// At least one limit has no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The earliest instant at which all could admit if nobody else draws; [`Mono::FAR`]: only the
    /// end of a running request, or a new definition, helps.
    pub until: Mono,
    /// The limit that opens last.
    pub key: LimitKey,
}

/// How much could be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Requests that cost nothing special; of a limit that counts a cost, its units.
    pub units: u32,
    /// Only if that is 0: the limit that opens last, and when, as in [`Refusal`].
    pub until: Option<(LimitKey, Mono)>,
}

impl LimitBook {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How wall time relates to the monotonic clock from now on. Fixed windows begin by it; until
    /// it is told, both clocks are taken for one.
    pub fn set_wall(&mut self, offset: WallOffset) {
        self.offset = offset;
        for entry in self.limits.values_mut() {
            entry.limit.set_offset(offset);
        }
    }

    /// Sets a limit. The same definition again changes nothing; other sizes of the same kind keep
    /// what was used (a bucket's level is cut to the new capacity), and so do windows of one kind
    /// that become windows of the other; a new limit or another kind starts as if its room were
    /// used up: a bucket empty, an interval just begun. A window starts without uses: see
    /// [`Self::restore_window`].
    pub fn define(&mut self, key: LimitKey, kind: LimitKind, guard: Guard, now: Mono) {
        let now = self.pass(now);
        if let Some(entry) = self.limits.get_mut(&key) {
            if entry.kind == kind && entry.guard == guard {
                return;
            }
            if entry.limit.reshape(kind, guard, now, self.offset) {
                (entry.kind, entry.guard) = (kind, guard);
                return;
            }
        }
        self.generations += 1;
        let entry = Entry {
            kind,
            guard,
            limit: Limit::new(kind, guard, now, self.offset),
            generation: self.generations,
        };
        self.limits.insert(key, entry);
    }

    /// Forgets a limit. A closure of the key stays.
    pub fn undefine(&mut self, key: &LimitKey) {
        self.limits.remove(key);
    }

    /// Adds uses of the past to a window, each with its count. Nothing happens if `key` is no
    /// window.
    pub fn restore_window(&mut self, key: &LimitKey, uses: &[(Mono, u64)]) {
        match self.limits.get_mut(key).map(|entry| &mut entry.limit) {
            Some(Limit::Window(window)) => window.restore(uses),
            Some(Limit::Fixed(fixed)) => fixed.restore(uses),
            _ => {}
        }
    }

    /// Admits one request with its costs: all of `charges` or none. Of a key given twice the first
    /// counts.
    ///
    /// # Errors
    /// When a limit has no room or is closed, with the instant at which all could admit. Of a
    /// request that costs more than a limit ever admits ([`Self::exceeds`]) that is never.
    pub fn try_acquire(&mut self, charges: &[Charge], now: Mono) -> Result<Acquired, Refusal> {
        let now = self.pass(now);
        if let Some(refusal) = self.refusal(charges, now) {
            return Err(refusal);
        }
        let mut from = Vec::with_capacity(charges.len());
        for (i, charge) in charges.iter().enumerate() {
            if charges[..i].iter().any(|earlier| earlier.key == charge.key) {
                continue;
            }
            if let Some(entry) = self.limits.get_mut(&charge.key) {
                entry.limit.acquire(now, units_of(charge));
                from.push((charge.clone(), entry.generation));
            }
        }
        Ok(Acquired { at: now, from })
    }

    /// Why such a request is not admitted now; none if it is.
    #[must_use]
    pub fn refusal(&self, charges: &[Charge], now: Mono) -> Option<Refusal> {
        let now = now.max(self.latest);
        let wanted = charges.iter().map(|charge| (&charge.key, units_of(charge)));
        self.last_to_open(wanted, now)
            .map(|(key, until)| Refusal { until, key })
    }

    /// The most units that one request can ever take of a limit.
    #[must_use]
    pub fn most(&self, key: &LimitKey) -> u64 {
        self.limits
            .get(key)
            .map_or(u64::MAX, |entry| entry.limit.most())
    }

    /// The first of these limits that never admits so much at once, and the most that it does.
    #[must_use]
    pub fn exceeds<'a>(&self, charges: &'a [Charge]) -> Option<(&'a Charge, u64)> {
        charges
            .iter()
            .map(|charge| (charge, self.most(&charge.key)))
            .find(|(charge, most)| units_of(charge) > *most)
    }

    /// Ends a request at `now`: its slots are free again, and it has arrived, if it ever will.
    pub fn release(&mut self, draw: Acquired, now: Mono) {
        let now = self.pass(now);
        for (charge, generation) in draw.from {
            if let Some(entry) = self
                .limits
                .get_mut(&charge.key)
                .filter(|e| e.generation == generation)
            {
                entry.limit.answered(draw.at, now, units_of(&charge));
            }
        }
    }

    /// Closes a key until then, defined or not. A closure is lengthened, never shortened.
    pub fn close(&mut self, key: LimitKey, until: Mono) {
        let latest = self.latest;
        self.closed.retain(|_, end| *end > latest);
        let end = self.closed.entry(key).or_default();
        *end = until.max(*end);
    }

    /// The longest closure among `keys`, if one is closed.
    #[must_use]
    pub fn closed(&self, keys: &[LimitKey], now: Mono) -> Option<(LimitKey, Mono)> {
        let now = now.max(self.latest);
        let ends = keys
            .iter()
            .filter_map(|key| self.closed.get(key).map(|end| (key, *end)));
        ends.filter(|(_, end)| *end > now)
            .max_by_key(|(_, end)| *end)
            .map(|(key, end)| (key.clone(), end))
    }

    /// Takes what the destination says of a limit where it is tighter than what the host reckons
    /// with; it never widens. `limit`: the size (0 is taken for not given). `remaining`: requests
    /// left. `reset_ms`: until all are back; a window believes its own length at most, other limits
    /// an hour. A key that is not defined is closed until the reset if nothing remains.
    pub fn observe(
        &mut self,
        key: &LimitKey,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        now: Mono,
    ) {
        let now = self.pass(now);
        if let Some(entry) = self.limits.get_mut(key) {
            entry.limit.observe(limit, remaining, reset_ms, now);
        } else if let Some(until) = exhausted_until(remaining, reset_ms, now) {
            self.close(key.clone(), until);
        }
    }

    /// How many draws of one unit could be made up to `now + horizon_ms`, each limit taken for
    /// itself: a forecast, and never too small for limits of rate (a bucket gives a draw of several
    /// units more, up to its whole burst). Slots that are in use count as far as they come free at
    /// the pace of the last moments. Work does not grow with the answer.
    #[must_use]
    pub fn headroom(&self, keys: &[LimitKey], now: Mono, horizon_ms: u64) -> Headroom {
        let now = now.max(self.latest);
        let end = now.plus_ms(horizon_ms);
        let open = self.closed(keys, now).map_or(now, |(_, until)| until);
        let free = |key| {
            self.limits
                .get(key)
                .map_or(u64::MAX, |e| e.limit.available(open, end))
        };
        let units = if open > end {
            0
        } else {
            keys.iter().map(free).min().unwrap_or(u64::MAX)
        };
        let until = if units == 0 {
            self.last_to_open(keys.iter().map(|key| (key, 1)), now)
        } else {
            None
        };
        Headroom {
            units: u32::try_from(units).unwrap_or(u32::MAX),
            until,
        }
    }

    /// Whether a concurrency limit among `keys` has no free slot.
    #[must_use]
    pub fn is_saturated(&self, keys: &[LimitKey]) -> bool {
        keys.iter()
            .any(|key| self.limits.get(key).is_some_and(|e| e.limit.is_saturated()))
    }

    /// The key that admits last and when, if that is later than now.
    fn last_to_open<'a>(
        &self,
        wanted: impl Iterator<Item = (&'a LimitKey, u64)>,
        now: Mono,
    ) -> Option<(LimitKey, Mono)> {
        let ready = |key: &LimitKey, units: u64| {
            let room = self
                .limits
                .get(key)
                .map_or(now, |e| e.limit.ready(now, units));
            self.closed.get(key).map_or(room, |end| room.max(*end))
        };
        let (key, until) = wanted
            .map(|(key, units)| (key, ready(key, units)))
            .max_by_key(|(_, until)| *until)?;
        (until > now).then(|| (key.clone(), until))
    }

    fn pass(&mut self, now: Mono) -> Mono {
        self.latest = self.latest.max(now);
        self.latest
    }
}

fn units_of(charge: &Charge) -> u64 {
    u64::from(charge.units.max(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

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
    fn all_limits_admit_or_none_is_drawn() {
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
    fn a_slot_is_free_again_when_its_request_ends() {
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
    fn a_draw_frees_no_slot_of_a_limit_that_came_after_it() {
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
    fn a_key_that_was_never_defined_can_be_closed_and_only_for_longer() {
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
    fn an_earlier_now_opens_nothing() {
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
    fn the_same_definition_keeps_the_state_and_another_kind_starts_anew() {
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
        book.observe(&keys[0], None, Some(0), Some(700), now);
        assert_eq!(
            book.try_acquire(&charges(&keys), now).unwrap_err().until,
            Mono(1_700_000)
        );
        book.observe(&keys[1], Some(2), None, None, now);
        assert_eq!(book.headroom(&keys[1..], now, 0).units, 2);
        book.observe(&key("own"), Some(5), Some(1), Some(700), now);
        assert_eq!(book.closed(&[key("own")], now), None);
        book.observe(&key("own"), None, Some(0), Some(u64::MAX), now);
        assert_eq!(
            book.closed(&[key("own")], now),
            Some((key("own"), Mono(3601 * SECOND)))
        );
    }

    #[test]
    fn a_window_keeps_its_uses_when_it_gets_an_anchor_or_loses_it() {
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
        let draws: Vec<Acquired> = (0..6)
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
}
