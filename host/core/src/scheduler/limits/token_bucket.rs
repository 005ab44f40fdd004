//! A token bucket: at most `rate · w + burst` in any `w`. A request takes one token, or as many as
//! it costs.
//!
//! The level is counted in grains that are small enough for a microsecond to yield a whole number
//! of them. So it stays exact forever, and a request costs O(1). The guard holds because requests
//! that arrive within `w` were acquired within `w + edge`. Of those the bucket admits at most `rate
//! · (w + edge) + burst - rate · edge`, which is the limit.
//!
//! A request may cost more than the burst that the guard leaves, up to the whole burst. While
//! nothing is in flight, the level rises past the guard's cut, so such a request only waits a
//! little longer. A request takes its tokens from a level that is cut first, and may leave a debt.
//! So the sum above holds for any mix of costs: for requests `n1 … nk`, `nk ≤ burst - rate · edge -
//! n1 - … + rate · (tk - t1)`.
//!
//! A request may travel longer than the edge. So each request in flight keeps its place in the
//! bucket: its tokens reduce the capacity until its answer shows that it has arrived, as if it
//! arrived only then. If all of them arrive at once, together with the requests acquired by then,
//! the burst still holds them. The capacity for one request (the costliest recent one) always
//! remains, so that a destination that answers slowly gets its whole rate. The requests in flight
//! and this one may then exceed the burst. The bucket does not prevent that.
//!
//! If the edge is longer than the burst can make up for, the bucket is *paced*: it holds one token,
//! and the next token starts to come only when the last request has arrived, less the slack
//! `(burst - 1) / rate` that the burst leaves. Proof for requests `n1 … nk` at `t1 … tk`, of which
//! the first arrives `d` late: at most `rate · (tk - t1 - max(0, d - slack))` tokens came since
//! `t1`, and the arrivals are at least `w = tk - t1 - d` apart. So `n1 + … + nk` is at most
//! `1 + rate · (w + d - max(0, d - slack))`, and that is at most `1 + rate · (w + slack)`, which
//! is `rate · w + burst`.

use super::in_flight::InFlight;
use super::kind::Guard;
use super::last_request::LastRequest;
use super::rolling_max::RollingMax;
use crate::time::Mono;

const MILLION: i128 = 1_000_000;

/// A bucket's sizes in grains, the guard included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Grains that arrive in a microsecond.
    gain: i128,
    token: i128,
    /// The burst as the destination defines it, in tokens; at least 1.
    burst: u64,
    /// The grains of the burst that the guard leaves; at least one token.
    capacity: i128,
    /// The delay of a request, in microseconds, that the burst makes up for. `None`: the cut covers
    /// the whole edge.
    paced_slack_us: Option<u64>,
}

impl Shape {
    fn of(rate: u32, per_ms: u64, burst: u32, guard: Guard) -> Self {
        let per_us = i128::from(per_ms.max(1)).saturating_mul(1000);
        let rate = i128::from(rate);
        let edge_us = i128::from(guard.edge_ms) * 1000;
        let token = per_us.saturating_mul(MILLION);
        let cut = (rate * MILLION).saturating_mul(edge_us);
        let burst = u64::from(burst.max(1));
        let beside_one = token.saturating_mul(i128::from(burst - 1));
        let slack_us = || beside_one / (rate * MILLION).max(1);
        Self {
            paced_slack_us: (cut > beside_one)
                .then(|| u64::try_from(slack_us()).unwrap_or(u64::MAX)),
            gain: rate * (MILLION - i128::from(guard.share_ppm())),
            token,
            burst,
            capacity: token
                .saturating_mul(i128::from(burst))
                .saturating_sub(cut)
                .max(token),
        }
    }
}

/// A token bucket with its level.
#[derive(Clone, Debug)]
pub(super) struct TokenBucket {
    shape: Shape,
    /// Below zero after a request that cost more than the guard leaves of the burst.
    level: i128,
    /// The instant of the level.
    at: Mono,
    /// A smaller burst that the destination reported, in tokens.
    observed_burst: Option<u64>,
    in_flight: InFlight,
    /// The highest recent cost of a request, in tokens.
    costliest: RollingMax,
    last: LastRequest,
}

impl TokenBucket {
    /// An empty bucket. Earlier requests are unknown, so it has to fill first.
    pub(super) fn empty(rate: u32, per_ms: u64, burst: u32, guard: Guard, now: Mono) -> Self {
        let shape = Shape::of(rate, per_ms, burst, guard);
        Self {
            shape,
            level: 0,
            at: now,
            observed_burst: None,
            in_flight: InFlight::new(guard.reach_ms),
            costliest: costliest(guard),
            last: LastRequest::just_sent(guard, now),
        }
    }

    /// Takes new sizes. The tokens stay, rounded down to millionths and cut to the new capacity.
    pub(super) fn reshape(&mut self, rate: u32, per_ms: u64, burst: u32, guard: Guard, now: Mono) {
        let millionths = self
            .standing(now)
            .0
            .saturating_mul(MILLION)
            .div_euclid(self.shape.token);
        self.shape = Shape::of(rate, per_ms, burst, guard);
        self.observed_burst = None;
        self.in_flight.reshape(guard.reach_ms);
        self.costliest = costliest(guard);
        self.last.reshape(guard);
        self.level = millionths
            .saturating_mul(self.shape.token / MILLION)
            .min(self.capacity(self.in_flight.total(), now));
        self.at = now;
    }

    /// The most tokens that one request can ever take.
    pub(super) const fn most(&self) -> u64 {
        self.shape.burst
    }

    /// The earliest instant, not before `now`, at which the bucket holds `units` tokens if nothing
    /// is answered before.
    pub(super) fn ready(&self, now: Mono, units: u64) -> Mono {
        if units > self.most() {
            return Mono::FAR;
        }
        let needed = self.grains(units.min(self.burst()));
        let held = self.held_until();
        let (mut at, (mut level, mut in_flight)) = (now, self.standing(now));
        // Requests in flight keep the level down until they count as arrived.
        for (arrived, its_units) in self
            .in_flight
            .arrivals()
            .filter(|(arrived, _)| *arrived > now)
        {
            if needed <= self.ceiling(in_flight, at) {
                break;
            }
            level = level
                .saturating_add(self.gained(at.max(held), arrived))
                .min(self.ceiling(in_flight, at));
            (at, in_flight) = (arrived, in_flight - its_units);
        }
        let missing = needed.saturating_sub(level);
        if missing <= 0 {
            return at;
        }
        if self.shape.gain == 0 {
            return Mono::FAR;
        }
        // Rounded up; both are positive.
        let wait_us = (missing - 1) / self.shape.gain + 1;
        at.max(held)
            .plus_us(u64::try_from(wait_us).unwrap_or(u64::MAX))
    }

    pub(super) fn acquire(&mut self, now: Mono, units: u64) {
        self.reckon(now);
        self.level = self
            .level
            .min(self.capacity(0, now))
            .saturating_sub(self.grains(units));
        self.in_flight.sent(now, units);
        self.costliest.note(now, units);
        self.last.sent(now);
    }

    /// The request of `units` tokens that was acquired at `drawn` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono, units: u64) {
        // The answer to the last request may show that tokens came earlier than assumed, so until
        // then the level of a paced bucket stays as of its acquisition.
        if self.shape.paced_slack_us.is_none() || self.last.is_answered() {
            self.reckon(now);
        }
        self.in_flight.arrive(drawn, units);
        self.last.answered(drawn, now);
    }

    /// How many tokens could be acquired from `from` up to `to`, one by one, if each request is
    /// answered at once.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        let (level, in_flight) = self.standing(from);
        let grains = level
            .min(self.capacity(in_flight, from))
            .saturating_add(self.gained(from.max(self.held_until()), to));
        u64::try_from(grains.max(0) / self.shape.token).unwrap_or(u64::MAX)
    }

    /// Cuts the level to the remaining tokens that the destination reports, and the capacity to its
    /// reported limit.
    pub(super) fn observe(&mut self, limit: Option<u64>, remaining: Option<u64>, now: Mono) {
        if let Some(limit) = limit.filter(|l| *l > 0) {
            self.observed_burst = Some(limit);
        }
        let left = remaining.map_or(i128::MAX, |r| self.grains(r));
        self.reckon(now);
        self.level = self.level.min(left);
    }

    /// Forgets what the destination reported. The level stays, because it refills.
    pub(super) const fn reopen(&mut self) {
        self.observed_burst = None;
    }

    /// Until when no token comes, because the last request may not have arrived.
    fn held_until(&self) -> Mono {
        self.shape.paced_slack_us.map_or(Mono(0), |slack_us| {
            let delay_us = self.last.delay_us().saturating_sub(slack_us);
            self.last.at().plus_us(delay_us)
        })
    }

    /// Brings the level up to `now`, and drops overdue requests.
    fn reckon(&mut self, now: Mono) {
        (self.level, _) = self.standing(now);
        self.at = self.at.max(now);
        while self.in_flight.overdue(now).is_some() {}
    }

    /// The level at `now` and the tokens in flight then. Once a request counts as arrived, the
    /// level rises further.
    fn standing(&self, now: Mono) -> (i128, u64) {
        let (mut at, mut level, mut in_flight) = (self.at, self.level, self.in_flight.total());
        let held = self.held_until();
        let overdue = self
            .in_flight
            .arrivals()
            .take_while(|(arrived, _)| *arrived <= now);
        for (until, arriving) in overdue.chain(std::iter::once((now, 0))) {
            level = level
                .saturating_add(self.gained(at.max(held), until))
                .min(self.ceiling(in_flight, at));
            (at, in_flight) = (until.max(at), in_flight - arriving);
        }
        (level, in_flight)
    }

    fn gained(&self, from: Mono, to: Mono) -> i128 {
        self.shape
            .gain
            .saturating_mul(i128::from(to.since_us(from)))
    }

    fn grains(&self, tokens: u64) -> i128 {
        self.shape.token.saturating_mul(i128::from(tokens))
    }

    /// The burst in tokens, or a smaller one that the destination reported.
    fn burst(&self) -> u64 {
        self.observed_burst
            .map_or(self.shape.burst, |observed| observed.min(self.shape.burst))
    }

    /// The highest level: past the guard's cut only while nothing is in flight.
    fn ceiling(&self, in_flight: u64, now: Mono) -> i128 {
        if in_flight == 0 {
            self.grains(self.burst()).max(self.shape.token)
        } else {
            self.capacity(in_flight, now)
        }
    }

    /// The rest of the burst with this many tokens in flight.
    fn capacity(&self, in_flight: u64, now: Mono) -> i128 {
        let whole = self.shape.capacity.min(self.grains(self.burst()));
        let one_request = self.grains(self.costliest.recent(now)).min(whole);
        whole
            .saturating_sub(self.grains(in_flight))
            .max(one_request)
            .max(self.shape.token)
    }
}

fn costliest(guard: Guard) -> RollingMax {
    RollingMax::new(guard.reach_ms.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// All that can be drawn at once, each answered at once.
    fn draws_at(bucket: &mut TokenBucket, now: Mono) -> u32 {
        let mut count = 0;
        while bucket.ready(now, 1) <= now {
            bucket.acquire(now, 1);
            count += 1;
        }
        for _ in 0..count {
            bucket.answered(now, now, 1);
        }
        count
    }

    #[test]
    fn bucket_starts_empty_and_fills_to_the_burst_minus_the_edge() {
        let mut bucket = TokenBucket::empty(20, 1000, 5, Guard::default(), Mono(0));
        assert_eq!(
            bucket.ready(Mono(0), 1),
            Mono(51_021),
            "the first token at 98 % of the rate, rounded up"
        );
        assert_eq!(draws_at(&mut bucket, Mono(60 * SECOND)), 4);
        let mut small = TokenBucket::empty(20, 1000, 1, Guard::default(), Mono(0));
        assert_eq!(
            draws_at(&mut small, Mono(60 * SECOND)),
            1,
            "at least 1 is left"
        );
    }

    #[test]
    fn level_stays_exact_in_a_million_steps() {
        let mut bucket = TokenBucket::empty(7, 3_600_000, 2, Guard::NONE, Mono(0));
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
    fn observation_cuts_and_never_adds() {
        let mut bucket = TokenBucket::empty(10, 1000, 8, Guard::NONE, Mono(0));
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
        let mut bucket = TokenBucket::empty(10, 1000, 8, Guard::NONE, Mono(0));
        let later = Mono(SECOND / 2);
        bucket.reshape(1, 1000, 8, Guard::NONE, later);
        assert_eq!(bucket.available(later, later), 5);
        bucket.reshape(1, 60_000, 2, Guard::NONE, later);
        assert_eq!(bucket.available(later, later), 2);
    }

    #[test]
    fn requests_in_flight_keep_their_place_in_the_burst() {
        let guard = Guard {
            reach_ms: 1000,
            ..Guard::NONE
        };
        let mut bucket = TokenBucket::empty(10, 1000, 4, guard, Mono(0));
        let full = Mono(10 * SECOND);
        bucket.acquire(full, 1);
        bucket.acquire(full, 1);
        let later = full.plus_ms(900);
        assert_eq!(bucket.available(later, later), 2, "two may still arrive");
        bucket.answered(full, later, 1);
        assert_eq!(
            bucket.available(later, later),
            2,
            "the third place fills at the rate"
        );
        let filled = later.plus_ms(100);
        assert_eq!(bucket.available(filled, filled), 3);
        bucket.observe(None, None, filled);
        assert_eq!(
            bucket.available(filled.plus_ms(100), filled.plus_ms(100)),
            4,
            "the other is overdue"
        );
    }

    #[test]
    fn slow_destination_gets_its_whole_rate() {
        let guard = Guard {
            reach_ms: 60_000,
            ..Guard::NONE
        };
        let mut bucket = TokenBucket::empty(10, 1000, 2, guard, Mono(0));
        let mut now = Mono(0);
        for _ in 0..100 {
            now = bucket.ready(now, 1);
            bucket.acquire(now, 1);
        }
        assert_eq!(now, Mono(10 * SECOND), "though none of them is answered");
    }

    #[test]
    fn request_takes_as_many_tokens_as_it_costs() {
        let mut bucket = TokenBucket::empty(10, 1000, 20, Guard::NONE, Mono(0));
        assert_eq!(bucket.ready(Mono(0), 15), Mono(3 * SECOND / 2));
        let full = Mono(10 * SECOND);
        bucket.acquire(full, 15);
        assert_eq!(bucket.available(full, full), 5);
        assert_eq!(bucket.ready(full, 20), full.plus_ms(1500));
        assert_eq!(
            bucket.ready(full, 21),
            Mono::FAR,
            "more than the burst ever holds"
        );
    }

    #[test]
    fn costly_request_waits_for_the_cut_part_of_the_burst_and_owes_it() {
        let guard = Guard {
            edge_ms: 100,
            ..Guard::NONE
        };
        let mut bucket = TokenBucket::empty(10, 1000, 5, guard, Mono(0));
        assert_eq!(
            bucket.ready(Mono(0), 4),
            Mono(2 * SECOND / 5),
            "the cut is one token"
        );
        assert_eq!(bucket.ready(Mono(0), 5), Mono(SECOND / 2));
        let full = Mono(SECOND / 2);
        bucket.acquire(full, 5);
        assert_eq!(bucket.ready(full, 1), full.plus_ms(200), "a token is owed");
    }

    #[test]
    fn costly_request_waits_until_requests_in_flight_have_arrived() {
        let guard = Guard {
            reach_ms: 1000,
            ..Guard::NONE
        };
        let mut bucket = TokenBucket::empty(10, 1000, 10, guard, Mono(0));
        let full = Mono(10 * SECOND);
        bucket.acquire(full, 4);
        assert_eq!(bucket.ready(full, 6), full);
        // Ten tokens would be there after 400 ms, were it not for the four that may still arrive
        // until the reach is over.
        assert_eq!(bucket.ready(full, 10), full.plus_ms(1400));
        let mut answered = bucket.clone();
        answered.answered(full, full.plus_ms(100), 4);
        assert_eq!(
            answered.ready(full.plus_ms(100), 10),
            full.plus_ms(500),
            "six were left of the level, four come in 400 ms"
        );
    }

    #[test]
    fn slow_destination_gets_its_whole_rate_of_costly_requests() {
        let guard = Guard {
            reach_ms: 60_000,
            ..Guard::NONE
        };
        let mut bucket = TokenBucket::empty(10, 1000, 12, guard, Mono(0));
        let first = bucket.ready(Mono(0), 5);
        bucket.acquire(first, 5);
        let mut now = first;
        for _ in 0..100 {
            now = bucket.ready(now, 5);
            bucket.acquire(now, 5);
        }
        assert_eq!(
            now,
            first.plus_us(50 * SECOND),
            "though none of them is answered"
        );
    }

    #[test]
    fn costly_request_does_not_free_later_cheap_ones() {
        let guard = Guard {
            reach_ms: 1000,
            ..Guard::NONE
        };
        let mut bucket = TokenBucket::empty(100, 1000, 100, guard, Mono(0));
        let first = Mono(10 * SECOND);
        bucket.acquire(first, 100);
        bucket.answered(first, first, 100);
        let later = Mono(70 * SECOND);
        for _ in 0..45 {
            bucket.acquire(later, 1);
        }
        // They stall, arrive together and are answered: with what is drawn now, no more than the
        // burst arrives at once.
        let answered = later.plus_ms(600);
        for _ in 0..45 {
            bucket.answered(later, answered, 1);
        }
        assert_eq!(bucket.available(answered, answered), 55);
    }

    #[test]
    fn zero_rate_admits_nothing() {
        let bucket = TokenBucket::empty(0, 1000, 5, Guard::NONE, Mono(0));
        assert_eq!(bucket.ready(Mono(SECOND), 1), Mono::FAR);
    }
}
