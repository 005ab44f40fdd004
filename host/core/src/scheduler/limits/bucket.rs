//! A token bucket: at most `rate · w + burst` in any `w`.
//!
//! The level is counted in units so small that a microsecond yields a whole number of them: exact for ever, O(1) a
//! draw. Why the guard holds: requests that arrive within `w` were drawn within `w + edge`. Of those the bucket
//! admits at most `rate · (w + edge) + burst - rate · edge`, which is the limit.
//!
//! A request may travel longer than the edge. So each one that is on its way keeps its place in the bucket: the
//! capacity is smaller by a token until the answer shows that it has arrived, as if it were to arrive only then.
//! Should all of them arrive at once, together with what is drawn by then, the burst still holds them. One token of
//! capacity always remains, so that a destination that answers slowly gets its whole rate; more requests on their way
//! than the burst has tokens are beyond this.

use super::kind::Guard;
use super::underway::UnderWay;
use crate::time::Mono;

const MILLION: u128 = 1_000_000;

/// A bucket's sizes, the guard included, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Units that arrive in a microsecond.
    gain: u128,
    /// Units of one token.
    token: u128,
    /// The most units that the bucket holds; at least one token.
    capacity: u128,
}

impl Shape {
    fn of(rate: u32, per_ms: u64, burst: u32, guard: Guard) -> Self {
        let per_us = u128::from(per_ms.max(1)) * 1000;
        let rate = u128::from(rate);
        let edge_us = u128::from(guard.edge_ms) * 1000;
        let token = per_us * MILLION;
        let cut = rate * edge_us * MILLION;
        Self {
            gain: rate * (MILLION - u128::from(guard.share_ppm())),
            token,
            capacity: (u128::from(burst) * token).saturating_sub(cut).max(token),
        }
    }
}

/// A token bucket with its level.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    shape: Shape,
    level: u128,
    /// When the level was reckoned.
    at: Mono,
    /// A smaller burst that the destination told of, in tokens.
    observed_burst: Option<u64>,
    under_way: UnderWay,
}

impl Bucket {
    /// An empty bucket. Nothing is known of what was sent before, so it has to fill first.
    pub(super) fn empty(rate: u32, per_ms: u64, burst: u32, guard: Guard, now: Mono) -> Self {
        let shape = Shape::of(rate, per_ms, burst, guard);
        Self { shape, level: 0, at: now, observed_burst: None, under_way: UnderWay::new(guard.reach_ms) }
    }

    /// Takes new sizes. The tokens at hand stay, rounded down to millionths and cut to the new capacity.
    pub(super) fn reshape(&mut self, rate: u32, per_ms: u64, burst: u32, guard: Guard, now: Mono) {
        let millionths = self.level_at(now).saturating_mul(MILLION) / self.shape.token;
        self.shape = Shape::of(rate, per_ms, burst, guard);
        self.observed_burst = None;
        self.under_way.reshape(guard.reach_ms);
        self.level = millionths.saturating_mul(self.shape.token / MILLION).min(self.capacity());
        self.at = now;
    }

    /// The earliest instant, not before `now`, at which a token is there.
    pub(super) fn ready(&self, now: Mono) -> Mono {
        let missing = self.shape.token.saturating_sub(self.level_at(now));
        if missing == 0 {
            return now;
        }
        if self.shape.gain == 0 {
            return Mono::FAR;
        }
        now.plus_us(u64::try_from(missing.div_ceil(self.shape.gain)).unwrap_or(u64::MAX))
    }

    /// Takes a token.
    pub(super) fn draw(&mut self, now: Mono) {
        self.reckon(now);
        self.level = self.level.saturating_sub(self.shape.token);
        self.under_way.set_out(now);
    }

    /// The request that was drawn at `drawn` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono) {
        self.reckon(now);
        self.under_way.arrive(drawn);
    }

    /// How many draws could be made from `from` up to `to`.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        let units = self.level_at(from).saturating_add(self.shape.gain * u128::from(to.since_us(from)));
        u64::try_from(units / self.shape.token).unwrap_or(u64::MAX)
    }

    /// Cuts the level to what the destination says is left, and the capacity to the limit it says it has.
    pub(super) fn observe(&mut self, limit: Option<u64>, remaining: Option<u64>, now: Mono) {
        if let Some(limit) = limit.filter(|l| *l > 0) {
            self.observed_burst = Some(limit);
        }
        let left = remaining.map_or(u128::MAX, |r| u128::from(r).saturating_mul(self.shape.token));
        self.reckon(now);
        self.level = self.level.min(left);
    }

    /// Brings the level up to `now`, and only then lets go of what has been under way for too long.
    fn reckon(&mut self, now: Mono) {
        self.level = self.level_at(now);
        self.at = self.at.max(now);
        while self.under_way.overdue(now).is_some() {}
    }

    fn level_at(&self, now: Mono) -> u128 {
        let gained = self.shape.gain.saturating_mul(u128::from(now.since_us(self.at)));
        self.level.saturating_add(gained).min(self.capacity())
    }

    fn capacity(&self) -> u128 {
        let observed = self.observed_burst.map_or(u128::MAX, |b| u128::from(b).saturating_mul(self.shape.token));
        let whole = self.shape.capacity.min(observed);
        let kept = u128::from(self.under_way.total()).saturating_mul(self.shape.token);
        whole.saturating_sub(kept).max(self.shape.token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// All that can be drawn at once, each answered at once.
    fn draws_at(bucket: &mut Bucket, now: Mono) -> u32 {
        let mut count = 0;
        while bucket.ready(now) <= now {
            bucket.draw(now);
            count += 1;
        }
        for _ in 0..count {
            bucket.answered(now, now);
        }
        count
    }

    #[test]
    fn starts_empty_and_fills_to_the_burst_less_what_arrives_in_the_edge() {
        let mut bucket = Bucket::empty(20, 1000, 5, Guard::default(), Mono(0));
        assert_eq!(bucket.ready(Mono(0)), Mono(51_021), "the first token at 98 % of the rate, rounded up");
        assert_eq!(draws_at(&mut bucket, Mono(60 * SECOND)), 4);
        let mut small = Bucket::empty(20, 1000, 1, Guard::default(), Mono(0));
        assert_eq!(draws_at(&mut small, Mono(60 * SECOND)), 1, "at least 1 is left");
    }

    #[test]
    fn nothing_is_lost_in_a_million_steps() {
        let mut bucket = Bucket::empty(7, 3_600_000, 2, Guard::NONE, Mono(0));
        let mut count = 0;
        // A week in steps that divide nothing evenly, looked at and drawn from all the while.
        let step = 604_801;
        for i in 1..=1_000_000_u64 {
            let now = Mono(i * step);
            bucket.observe(None, None, now);
            count += u64::from(draws_at(&mut bucket, now));
        }
        assert_eq!(count, 7 * 1_000_000 * step / (3600 * SECOND));
    }

    #[test]
    fn an_observation_cuts_and_never_adds() {
        let mut bucket = Bucket::empty(10, 1000, 8, Guard::NONE, Mono(0));
        let later = Mono(10 * SECOND);
        bucket.observe(None, Some(3), later);
        assert_eq!(bucket.available(later, later), 3);
        bucket.observe(Some(100), Some(100), later);
        assert_eq!(bucket.available(later, later), 3);
        bucket.observe(Some(2), None, later);
        assert_eq!(bucket.available(Mono(20 * SECOND), Mono(20 * SECOND)), 2);
    }

    #[test]
    fn new_sizes_keep_the_level_and_cut_it_to_the_new_capacity() {
        let mut bucket = Bucket::empty(10, 1000, 8, Guard::NONE, Mono(0));
        let later = Mono(SECOND / 2);
        bucket.reshape(1, 1000, 8, Guard::NONE, later);
        assert_eq!(bucket.available(later, later), 5);
        bucket.reshape(1, 60_000, 2, Guard::NONE, later);
        assert_eq!(bucket.available(later, later), 2);
    }

    #[test]
    fn what_is_under_way_keeps_its_place_in_the_burst() {
        let guard = Guard { reach_ms: 1000, ..Guard::NONE };
        let mut bucket = Bucket::empty(10, 1000, 4, guard, Mono(0));
        let full = Mono(10 * SECOND);
        bucket.draw(full);
        bucket.draw(full);
        let later = full.plus_ms(900);
        assert_eq!(bucket.available(later, later), 2, "two may still arrive");
        bucket.answered(full, later);
        assert_eq!(bucket.available(later, later), 2, "the third place fills at the rate");
        let filled = later.plus_ms(100);
        assert_eq!(bucket.available(filled, filled), 3);
        bucket.observe(None, None, filled);
        assert_eq!(bucket.available(filled.plus_ms(100), filled.plus_ms(100)), 4, "the other is overdue");
    }

    #[test]
    fn a_slow_destination_gets_its_whole_rate() {
        let guard = Guard { reach_ms: 60_000, ..Guard::NONE };
        let mut bucket = Bucket::empty(10, 1000, 2, guard, Mono(0));
        let mut now = Mono(0);
        for _ in 0..100 {
            now = bucket.ready(now);
            bucket.draw(now);
        }
        assert_eq!(now, Mono(10 * SECOND), "though none of them is answered");
    }

    #[test]
    fn a_rate_of_nothing_admits_nothing() {
        let bucket = Bucket::empty(0, 1000, 5, Guard::NONE, Mono(0));
        assert_eq!(bucket.ready(Mono(SECOND)), Mono::FAR);
    }
}
