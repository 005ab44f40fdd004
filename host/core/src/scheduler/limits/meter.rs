//! How much of its limits a connection uses: the requests made, against those of a greedy limiter without a guard.

use super::kind::{Guard, LimitKind};
use super::limit::Limit;
use crate::time::Mono;

/// Below this many requests no share is given: start and end weigh too much.
pub const MIN_JUDGED_REQUESTS: u64 = 500;

/// Steps that the shadow takes one by one between two reports; beyond, it reckons in one go.
const SHADOW_STEPS_MAX: u32 = 100_000;

/// Measures the share of the possible requests that were made.
///
/// The possible is what a shadow with the same limits, without a guard and just as empty at the start, draws as soon
/// as it can while there is demand. There is demand while a job could be sent but for these limits. Closures bind the
/// shadow too. What is made while there is no demand, during a closure, or while a concurrency limit is full counts
/// as possible one to one: at such times it is not the limiter that decides.
#[derive(Clone, Debug)]
pub struct UsageMeter {
    shadow: Vec<Limit>,
    /// Reckoned up to here.
    at: Mono,
    demand: bool,
    saturated: bool,
    closed_until: Mono,
    requests: u64,
    possible: u64,
}

impl UsageMeter {
    /// A meter of these limits, with empty buckets at `now`.
    #[must_use]
    pub fn new(kinds: &[LimitKind], now: Mono) -> Self {
        // A concurrency limit has no rate of its own, and an interval of 0 is none.
        let shapes = |kind: &&LimitKind| !matches!(kind, LimitKind::Concurrency { .. } | LimitKind::MinInterval { interval_ms: 0 });
        Self {
            shadow: kinds.iter().filter(shapes).map(|kind| Limit::new(*kind, Guard::NONE, now)).collect(),
            at: now,
            demand: false,
            saturated: false,
            closed_until: Mono::default(),
            requests: 0,
            possible: 0,
        }
    }

    /// From now on there is demand, or none.
    pub fn demand(&mut self, now: Mono, demand: bool) {
        self.advance(now);
        self.demand = demand;
    }

    /// `count` requests are made now.
    pub fn drawn(&mut self, now: Mono, count: u32) {
        self.advance(now);
        self.requests += u64::from(count);
        if self.shadow_draws_from().is_some_and(|from| from <= self.at) {
            return;
        }
        self.possible += u64::from(count);
        for limit in &mut self.shadow {
            for _ in 0..count {
                limit.draw(self.at);
            }
        }
    }

    /// A limit is closed until then.
    pub fn closed(&mut self, now: Mono, until: Mono) {
        self.advance(now);
        self.closed_until = self.closed_until.max(until);
    }

    /// From now on a concurrency limit is full, or none is.
    pub fn saturated(&mut self, now: Mono, saturated: bool) {
        self.advance(now);
        self.saturated = saturated;
    }

    /// Reckons up to `now`. Every report does this by itself; do it before reading.
    pub fn advance(&mut self, now: Mono) {
        let now = now.max(self.at);
        if let Some(from) = self.shadow_draws_from().filter(|from| *from <= now) {
            self.possible = self.possible.saturating_add(draw_greedily(&mut self.shadow, from, now));
        }
        self.at = now;
    }

    /// Requests made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that were possible, as of the last report.
    #[must_use]
    pub fn possible(&self) -> u64 {
        self.possible
    }

    /// The share that was used, 1 being all; none below [`MIN_JUDGED_REQUESTS`].
    #[must_use]
    pub fn used(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = self.requests as f64 / self.possible.max(1) as f64;
        (self.requests >= MIN_JUDGED_REQUESTS).then_some(share)
    }

    /// From when on the shadow draws by itself, as things stand.
    fn shadow_draws_from(&self) -> Option<Mono> {
        (self.demand && !self.saturated && !self.shadow.is_empty()).then(|| self.closed_until.max(self.at))
    }
}

fn draw_greedily(shadow: &mut [Limit], from: Mono, to: Mono) -> u64 {
    let mut now = from;
    for drawn in 0..SHADOW_STEPS_MAX {
        let next = shadow.iter().map(|limit| limit.ready(now)).max().unwrap_or(Mono::FAR);
        if next > to {
            return u64::from(drawn);
        }
        now = next;
        for limit in shadow.iter_mut() {
            limit.draw(now);
        }
    }
    let rest = shadow.iter().map(|limit| limit.available(now, to)).min().unwrap_or(0);
    u64::from(SHADOW_STEPS_MAX).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const RATE: LimitKind = LimitKind::TokenBucket { rate: 100, per_ms: 1000, burst: 1 };

    fn at(seconds: u64) -> Mono {
        Mono(seconds * SECOND)
    }

    #[test]
    fn only_intervals_of_demand_count() {
        let mut meter = UsageMeter::new(&[RATE], at(0));
        meter.advance(at(10));
        assert_eq!(meter.possible(), 0);
        meter.demand(at(10), true);
        meter.demand(at(20), false);
        meter.advance(at(1000));
        assert_eq!(meter.possible(), 1001);
    }

    #[test]
    fn closures_do_not_count() {
        let mut meter = UsageMeter::new(&[RATE], at(0));
        meter.demand(at(0), true);
        meter.closed(at(10), at(15));
        meter.advance(at(20));
        assert_eq!(meter.possible(), 1501, "ten seconds, five, and the burst that gathered while closed");
    }

    #[test]
    fn while_a_concurrency_limit_is_full_only_what_is_drawn_was_possible() {
        let mut meter = UsageMeter::new(&[RATE, LimitKind::Concurrency { max: 2 }], at(0));
        meter.demand(at(0), true);
        meter.saturated(at(0), true);
        for second in 1..=600 {
            meter.drawn(at(second), 1);
        }
        assert_eq!((meter.requests(), meter.possible()), (600, 600));
        assert_eq!(meter.used(), Some(1.0));
    }

    #[test]
    fn without_a_limit_on_the_pace_all_that_is_drawn_was_possible() {
        let mut meter = UsageMeter::new(&[LimitKind::Concurrency { max: 2 }, LimitKind::MinInterval { interval_ms: 0 }], at(0));
        meter.demand(at(0), true);
        meter.drawn(at(5), 500);
        assert_eq!(meter.used(), Some(1.0));
    }

    #[test]
    fn no_share_below_the_least_that_is_judged() {
        let mut meter = UsageMeter::new(&[RATE], at(0));
        meter.drawn(at(1), 499);
        assert_eq!(meter.used(), None);
        meter.drawn(at(1), 1);
        assert_eq!(meter.used(), Some(1.0));
    }

    #[test]
    fn half_the_pace_is_half_the_use() {
        let mut meter = UsageMeter::new(&[RATE], at(0));
        meter.demand(at(0), true);
        for i in 1..=5000 {
            meter.drawn(Mono(i * 20_000), 1);
        }
        assert_eq!(meter.used(), Some(0.5));
    }

    #[test]
    fn a_long_silence_costs_bounded_work() {
        let fast = LimitKind::TokenBucket { rate: 1_000_000, per_ms: 1, burst: 10 };
        let mut meter = UsageMeter::new(&[fast], at(0));
        meter.demand(at(0), true);
        meter.advance(at(3600));
        assert!(meter.possible() >= 3_590_000_000_000, "{}", meter.possible());
    }
}
