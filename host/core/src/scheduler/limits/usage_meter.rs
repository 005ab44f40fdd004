//! How much of its limits a connection uses: the requests made, compared to those of a greedy
//! limiter without a guard.

use super::kind::{Guard, LimitKind};
use super::limit::Limit;
use crate::time::{Mono, WallOffset};

/// Below this number of requests the share is not reported: start and end weigh too much.
pub const MIN_JUDGED_REQUESTS: u64 = 500;

/// The most steps that the shadow takes one by one between two reports. The rest is one
/// calculation.
const SHADOW_STEPS_MAX: u32 = 100_000;

/// Measures the share of the possible requests that were made.
///
/// A shadow has the same limits, without a guard and equally empty at the start, and acquires
/// requests as soon as it can while there is demand. Its requests are the possible ones. Each costs
/// the average of the real requests; until the first cost is known, the shadow acquires nothing
/// from limits that count a cost. There is demand while only these limits keep a job from being
/// sent. Closures bind the shadow, too. Requests that are made without demand, during a closure, or
/// while a concurrency limit is full count as possible, because the limiter does not decide at such
/// times.
#[derive(Clone, Debug)]
pub struct UsageMeter {
    shadow: Vec<Shadow>,
    at: Mono,
    demand: bool,
    saturated: bool,
    closed_until: Mono,
    requests: u64,
    possible: u64,
}

/// A limit of the shadow.
#[derive(Clone, Debug)]
struct Shadow {
    /// Which of the meter's limits it is.
    place: usize,
    limit: Limit,
    cost: Cost,
}

/// What requests cost on average.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    counted: bool,
    units: u64,
    requests: u64,
    /// The fraction of a unit, in parts of `requests`, that the shadow's last request was too cheap
    /// by.
    rest: u64,
}

impl Cost {
    fn note(&mut self, units: u32) {
        if self.counted {
            self.units += u64::from(units.max(1));
            self.requests += 1;
        }
    }

    fn is_known(&self) -> bool {
        !self.counted || self.requests > 0
    }

    /// What the shadow's next request costs, so that all of them together cost the average.
    fn next(&mut self) -> u64 {
        if self.requests == 0 {
            return 1;
        }
        let due = self.units % self.requests + self.rest;
        self.rest = due % self.requests;
        self.units / self.requests + due / self.requests
    }

    /// Converts units to requests.
    fn requests_of(&self, units: u64) -> u64 {
        if self.requests == 0 {
            return units;
        }
        let requests =
            u128::from(units) * u128::from(self.requests) / u128::from(self.units.max(1));
        u64::try_from(requests).unwrap_or(u64::MAX)
    }
}

impl UsageMeter {
    /// A meter of these limits, with empty buckets at `now`. The limits at the positions in
    /// `costing` count costs.
    pub fn new(kinds: &[LimitKind], costing: &[usize], now: Mono, offset: WallOffset) -> Self {
        // A concurrency limit has no rate of its own, and an interval of 0 is none.
        let shapes = |(_, kind): &(usize, &LimitKind)| {
            !matches!(
                kind,
                LimitKind::Concurrency { .. } | LimitKind::MinInterval { interval_ms: 0 }
            )
        };
        let shadow = |(place, kind): (usize, &LimitKind)| Shadow {
            place,
            limit: Limit::new(*kind, Guard::NONE, now, offset),
            cost: Cost {
                counted: costing.contains(&place),
                ..Cost::default()
            },
        };
        Self {
            shadow: kinds
                .iter()
                .enumerate()
                .filter(shapes)
                .map(shadow)
                .collect(),
            at: now,
            demand: false,
            saturated: false,
            closed_until: Mono::default(),
            requests: 0,
            possible: 0,
        }
    }

    /// Whether there is demand from now on.
    pub fn demand(&mut self, now: Mono, demand: bool) {
        self.advance(now);
        self.demand = demand;
    }

    /// Sets how wall time relates to the monotonic clock.
    pub fn set_wall(&mut self, now: Mono, offset: WallOffset) {
        self.advance(now);
        for shadow in &mut self.shadow {
            shadow.limit.set_offset(offset);
        }
    }

    /// A request is made now and takes `units` of the meter's limits, in their order; 1 of those
    /// that are missing.
    pub fn acquired(&mut self, now: Mono, units: &[u32]) {
        self.advance(now);
        self.requests += 1;
        let draws_by_itself = self.shadow_draws_from().is_some_and(|from| from <= self.at);
        for shadow in &mut self.shadow {
            let units = units.get(shadow.place).copied().unwrap_or(1).max(1);
            shadow.cost.note(units);
            if !draws_by_itself {
                shadow.limit.acquire(self.at, u64::from(units));
            }
        }
        self.possible += u64::from(!draws_by_itself);
    }

    /// A limit is closed until then.
    pub fn closed(&mut self, now: Mono, until: Mono) {
        self.advance(now);
        self.closed_until = self.closed_until.max(until);
    }

    /// Limits reopened: they are closed only until then.
    pub fn reopened(&mut self, now: Mono, until: Mono) {
        self.advance(now);
        self.closed_until = self.closed_until.min(until);
    }

    /// Whether a concurrency limit is full from now on.
    pub fn saturated(&mut self, now: Mono, saturated: bool) {
        self.advance(now);
        self.saturated = saturated;
    }

    /// Counts up to `now`. Each report does this first; call it before reading.
    pub fn advance(&mut self, now: Mono) {
        let now = now.max(self.at);
        if let Some(from) = self.shadow_draws_from().filter(|from| *from <= now) {
            self.possible =
                self.possible
                    .saturating_add(draw_greedily(&mut self.shadow, from, now));
        }
        self.at = now;
    }

    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests that were possible, as of the last report.
    pub fn possible(&self) -> u64 {
        self.possible
    }

    /// The share that was used, with 1 as all of it. `None` below [`MIN_JUDGED_REQUESTS`].
    pub fn used(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "the share need not be exact")]
        let share = self.requests as f64 / self.possible.max(1) as f64;
        (self.requests >= MIN_JUDGED_REQUESTS).then_some(share)
    }

    /// From when on the shadow acquires requests, in the current state.
    fn shadow_draws_from(&self) -> Option<Mono> {
        let known = self.shadow.iter().all(|shadow| shadow.cost.is_known());
        (self.demand && !self.saturated && known && !self.shadow.is_empty())
            .then(|| self.closed_until.max(self.at))
    }
}

fn draw_greedily(shadow: &mut [Shadow], from: Mono, to: Mono) -> u64 {
    let mut now = from;
    for drawn in 0..SHADOW_STEPS_MAX {
        // A cost is taken from the average once its request is possible, not each time that is
        // asked.
        let wanted = |shadow: &Shadow| { shadow.cost }.next().min(shadow.limit.most());
        let next = shadow
            .iter()
            .map(|s| s.limit.ready(now, wanted(s)))
            .max()
            .unwrap_or(Mono::FAR);
        if next > to {
            return u64::from(drawn);
        }
        now = next;
        for shadow in shadow.iter_mut() {
            let units = shadow.cost.next().min(shadow.limit.most());
            shadow.limit.acquire(now, units);
        }
    }
    let rest = shadow
        .iter()
        .map(|shadow| shadow.cost.requests_of(shadow.limit.available(now, to)))
        .min()
        .unwrap_or(0);
    u64::from(SHADOW_STEPS_MAX).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const RATE: LimitKind = LimitKind::TokenBucket {
        rate: 100,
        per_ms: 1000,
        burst: 1,
    };

    fn meter_of(kinds: &[LimitKind]) -> UsageMeter {
        UsageMeter::new(kinds, &[], at(0), WallOffset::default())
    }

    fn draws(meter: &mut UsageMeter, now: Mono, count: u32) {
        for _ in 0..count {
            meter.acquired(now, &[]);
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono(seconds * SECOND)
    }

    #[test]
    fn possible_counts_only_intervals_of_demand() {
        let mut meter = meter_of(&[RATE]);
        meter.advance(at(10));
        assert_eq!(meter.possible(), 0);
        meter.demand(at(10), true);
        meter.demand(at(20), false);
        meter.advance(at(1000));
        assert_eq!(meter.possible(), 1001);
    }

    #[test]
    fn closures_do_not_count() {
        let mut meter = meter_of(&[RATE]);
        meter.demand(at(0), true);
        meter.closed(at(10), at(15));
        meter.advance(at(20));
        assert_eq!(
            meter.possible(),
            1501,
            "ten seconds, five, and the burst that gathered while closed"
        );
    }

    #[test]
    fn full_concurrency_limit_makes_only_acquired_requests_possible() {
        let mut meter = meter_of(&[RATE, LimitKind::Concurrency { max: 2 }]);
        meter.demand(at(0), true);
        meter.saturated(at(0), true);
        for second in 1..=600 {
            draws(&mut meter, at(second), 1);
        }
        assert_eq!((meter.requests(), meter.possible()), (600, 600));
        assert_eq!(meter.used(), Some(1.0));
    }

    #[test]
    fn possible_equals_acquired_without_a_limit_on_the_pace() {
        let mut meter = meter_of(&[
            LimitKind::Concurrency { max: 2 },
            LimitKind::MinInterval { interval_ms: 0 },
        ]);
        meter.demand(at(0), true);
        draws(&mut meter, at(5), 500);
        assert_eq!(meter.used(), Some(1.0));
    }

    #[test]
    fn used_is_unknown_below_the_judged_minimum() {
        let mut meter = meter_of(&[RATE]);
        draws(&mut meter, at(1), 499);
        assert_eq!(meter.used(), None);
        draws(&mut meter, at(1), 1);
        assert_eq!(meter.used(), Some(1.0));
    }

    #[test]
    fn requests_that_cost_are_judged_by_what_they_cost() {
        let points = LimitKind::TokenBucket {
            rate: 100,
            per_ms: 1000,
            burst: 50,
        };
        let mut meter = UsageMeter::new(
            &[points, LimitKind::MinInterval { interval_ms: 1 }],
            &[0],
            at(0),
            WallOffset::default(),
        );
        meter.demand(at(0), true);
        meter.advance(at(1));
        assert_eq!(meter.possible(), 0, "what a request costs is not known yet");
        // 30 points each on average, every 400 ms: 75 of the 100 points of a second.
        for i in 0..1000_u64 {
            meter.acquired(
                Mono(SECOND + i * 400_000),
                &[if i % 2 == 0 { 20 } else { 40 }],
            );
        }
        let used = meter.used().unwrap_or_default();
        assert!((0.74..=0.76).contains(&used), "{used}");
    }

    #[test]
    fn half_the_pace_is_half_the_use() {
        let mut meter = meter_of(&[RATE]);
        meter.demand(at(0), true);
        for i in 1..=5000 {
            draws(&mut meter, Mono(i * 20_000), 1);
        }
        assert_eq!(meter.used(), Some(0.5));
    }

    #[test]
    fn long_silence_costs_bounded_work() {
        let fast = LimitKind::TokenBucket {
            rate: 1_000_000,
            per_ms: 1,
            burst: 10,
        };
        let mut meter = meter_of(&[fast]);
        meter.demand(at(0), true);
        meter.advance(at(3600));
        assert!(
            meter.possible() >= 3_590_000_000_000,
            "{}",
            meter.possible()
        );
    }
}
