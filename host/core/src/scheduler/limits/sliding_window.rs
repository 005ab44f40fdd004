//! A sliding window: at most `max` in any window of its length, wherever it begins. A request takes
//! one, or as many as it costs.
//!
//! At most `max` uses are kept with their instants, those of one instant together. Running totals
//! make every question a binary search. A request in flight counts. Once it is answered, it counts
//! from the latest instant at which it can have arrived: that of its answer, or an earlier one if
//! recent round trips show it. So the guard lengthens the window only for the difference of the two
//! clocks, by the edge and at most by a hundredth. If the guard has no reach, requests count from
//! their acquisition, and the window is longer by the whole edge.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::in_flight::InFlight;
use super::kind::Guard;
use super::observation::STALE_US;
use super::rolling_max::RollingMax;
use super::round_trips::RoundTrips;
use crate::time::Mono;

/// The share of a window by which the clocks may differ.
const CLOCK_SHARE: u64 = 100;

#[derive(Clone, Copy, Debug)]
struct Use {
    at: Mono,
    /// All uses ever, up to and including these.
    total: u64,
}

/// Uses that the destination counts but the host did not make.
#[derive(Clone, Copy, Debug)]
struct Foreign {
    count: u64,
    until: Mono,
}

/// A sliding window with its uses.
#[derive(Clone, Debug)]
pub(super) struct SlidingWindow {
    max: u64,
    length_us: u64,
    edge_us: u64,
    uses: VecDeque<Use>,
    total: u64,
    /// Those of them that are not in `uses` any more.
    forgotten: u64,
    in_flight: InFlight,
    trips: RoundTrips,
    /// The highest recent use of the host itself.
    busiest: RollingMax,
    foreign: Option<Foreign>,
    /// A smaller maximum that the destination reported.
    observed_max: Option<u64>,
}

impl SlidingWindow {
    /// A window without uses. [`SlidingWindow::restore`] adds uses from before a restart.
    pub(super) fn new(max: u32, window_ms: u64, guard: Guard) -> Self {
        let mut window = Self {
            max: 0,
            length_us: 0,
            edge_us: 0,
            uses: VecDeque::new(),
            total: 0,
            forgotten: 0,
            in_flight: InFlight::default(),
            trips: RoundTrips::new(),
            busiest: RollingMax::new(STALE_US),
            foreign: None,
            observed_max: None,
        };
        window.reshape(max, window_ms, guard);
        window
    }

    /// Takes new sizes and keeps the uses. Uses that the old length has dropped stay dropped.
    pub(super) fn reshape(&mut self, max: u32, window_ms: u64, guard: Guard) {
        self.max = u64::from(max);
        self.edge_us = guard.edge_ms.saturating_mul(1000);
        let defined_us = window_ms.saturating_mul(1000);
        let longer_us = if guard.reach_ms == 0 {
            self.edge_us
        } else {
            self.edge_us.min(defined_us / CLOCK_SHARE)
        };
        self.length_us = defined_us.saturating_add(longer_us);
        self.observed_max = None;
        self.in_flight.reshape(guard.reach_ms);
        self.forget_surplus();
    }

    /// Adds uses of the past.
    pub(super) fn restore(&mut self, past: &[(Mono, u64)]) {
        let mut all = past.to_vec();
        all.extend(self.uses());
        all.sort_unstable_by_key(|(at, _)| *at);
        self.uses.clear();
        self.total = self.forgotten;
        for (at, count) in all {
            self.add(at, count);
        }
        self.forget_surplus();
    }

    /// The uses that count now, for a limit of another kind that takes over. Requests in flight
    /// count from now on.
    pub(super) fn uses_now(&mut self, now: Mono) -> Vec<(Mono, u64)> {
        self.reckon(now);
        self.uses()
            .chain(std::iter::once((now, self.in_flight.total())))
            .filter(|(_, units)| *units > 0)
            .collect()
    }

    fn uses(&self) -> impl Iterator<Item = (Mono, u64)> {
        let before =
            std::iter::once(self.forgotten).chain(self.uses.iter().map(|known| known.total));
        self.uses
            .iter()
            .zip(before)
            .map(|(known, before)| (known.at, known.total - before))
    }

    /// The most that one request can ever take.
    pub(super) const fn most(&self) -> u64 {
        self.max
    }

    /// The earliest instant, not before `now`, at which `units` have room if the requests in flight
    /// are answered now.
    pub(super) fn ready(&self, now: Mono, units: u64) -> Mono {
        let max = self.max_now();
        if max == 0 || units > self.max {
            return Mono::FAR;
        }
        // A request that is larger than the reported maximum goes when the window is empty.
        let allowed = max.saturating_sub(units);
        let window = self.reckoned(now);
        let alone = window.when_alive_at_most(allowed, now);
        let Some(foreign) = window.foreign.filter(|f| f.until > now) else {
            return alone;
        };
        let beside = allowed
            .checked_sub(foreign.count)
            .map_or(Mono::FAR, |allowed| window.when_alive_at_most(allowed, now));
        beside.min(alone.max(foreign.until))
    }

    /// Acquires one request of `units`.
    pub(super) fn acquire(&mut self, now: Mono, units: u64) {
        self.reckon(now);
        if !self.in_flight.sent(now, units) {
            self.use_at(now, units);
        }
        self.busiest
            .note(now, self.total - self.forgotten + self.in_flight.total());
    }

    /// The request of `units` that was acquired at `drawn` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono, units: u64) {
        self.reckon(now);
        let delay_us = self.trips.note(drawn, now);
        if self.in_flight.arrive(drawn, units) {
            self.use_at(drawn.plus_us(delay_us), units);
        }
    }

    /// The window as of `now`. It may be outdated, if a request in flight became overdue since the
    /// last acquisition.
    fn reckoned(&self, now: Mono) -> Cow<'_, Self> {
        if self.in_flight.oldest_overdue(now).is_none() {
            return Cow::Borrowed(self);
        }
        let mut window = self.clone();
        window.reckon(now);
        Cow::Owned(window)
    }

    /// Drops uses that have ended, and gives overdue requests their instant.
    fn reckon(&mut self, now: Mono) {
        while let Some((arrived, count)) = self.in_flight.overdue(now) {
            self.use_at(arrived, count);
        }
        while self.uses.front().is_some_and(|u| self.ends(u.at) <= now) {
            self.forget_front();
        }
    }

    fn use_at(&mut self, at: Mono, count: u64) {
        let at = self.uses.back().map_or(at, |u| u.at.max(at));
        self.add(at, count);
        self.forget_surplus();
    }

    /// How many units could be acquired from `from` up to `to`.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        let max = self.max_now();
        let length = self.length_us.saturating_add(1);
        let span = to.since_us(from);
        // A greedy caller uses the window up once per whole length, minus the uses that still count
        // at the end of the rest.
        let rest = from.plus_us(span % length);
        let foreign = self
            .foreign
            .filter(|f| f.until > rest)
            .map_or(0, |f| f.count);
        // Requests in flight count for one more length. In a longer span they have ended.
        let window = self.reckoned(from);
        let in_flight = if span < length {
            window.in_flight.total()
        } else {
            0
        };
        let free = max.saturating_sub(
            window
                .settled(rest)
                .saturating_add(in_flight)
                .saturating_add(foreign),
        );
        (span / length).saturating_mul(max).saturating_add(free)
    }

    /// Counts the destination's uses beyond the host's own, until the reset or for one window.
    ///
    /// An answer describes the past. When it arrives, the host's own uses of that time may have
    /// left the window. So only uses beyond the host's highest recent use count as foreign.
    pub(super) fn observe(
        &mut self,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        now: Mono,
    ) {
        if let Some(limit) = limit.filter(|l| *l > 0) {
            self.observed_max = Some(limit);
        }
        let Some(remaining) = remaining else { return };
        let used_there = self.max_now().saturating_sub(remaining);
        let own = self.alive(now).max(self.busiest.recent(now));
        if used_there <= own {
            return;
        }
        let reset_us = reset_ms.map_or(u64::MAX, |ms| {
            ms.saturating_mul(1000).saturating_add(self.edge_us)
        });
        let seen = Foreign {
            count: used_there - own,
            until: now.plus_us(reset_us.min(self.length_us)),
        };
        self.foreign = Some(match self.foreign.filter(|f| f.until > now) {
            Some(known) => Foreign {
                count: known.count.max(seen.count),
                until: known.until.max(seen.until),
            },
            None => seen,
        });
    }

    /// Forgets what the destination reported.
    pub(super) const fn reopen(&mut self) {
        self.foreign = None;
        self.observed_max = None;
    }

    fn max_now(&self) -> u64 {
        self.observed_max.map_or(self.max, |m| m.min(self.max))
    }

    /// When a use at `at` stops counting: a microsecond past the window, so that both its ends are
    /// inside.
    fn ends(&self, at: Mono) -> Mono {
        at.plus_us(self.length_us).plus_us(1)
    }

    /// Uses that count at `at`, requests in flight included.
    fn alive(&self, at: Mono) -> u64 {
        self.settled(at) + self.in_flight.total()
    }

    /// Uses with a known instant that count at `at`.
    fn settled(&self, at: Mono) -> u64 {
        let ended = self.uses.partition_point(|u| self.ends(u.at) <= at);
        let before = ended
            .checked_sub(1)
            .map_or(self.forgotten, |i| self.uses[i].total);
        self.total - before
    }

    fn when_alive_at_most(&self, allowed: u64, now: Mono) -> Mono {
        if self.alive(now) <= allowed {
            return now;
        }
        let Some(allowed) = allowed.checked_sub(self.in_flight.total()) else {
            return self.ends(now);
        };
        let must_end = self.total.saturating_sub(allowed);
        let last = self.uses.partition_point(|u| u.total < must_end);
        self.uses.get(last).map_or(now, |u| self.ends(u.at))
    }

    fn add(&mut self, at: Mono, count: u64) {
        self.total += count;
        match self.uses.back_mut() {
            Some(last) if last.at == at => last.total = self.total,
            _ => self.uses.push_back(Use {
                at,
                total: self.total,
            }),
        }
    }

    /// Only the newest `max` uses can ever refuse a request.
    fn forget_surplus(&mut self) {
        while self
            .uses
            .front()
            .is_some_and(|u| self.total - u.total >= self.max.max(1))
        {
            self.forget_front();
        }
    }

    fn forget_front(&mut self) {
        if let Some(front) = self.uses.pop_front() {
            self.forgotten = front.total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn guard_lengthens_the_window() {
        let mut window = SlidingWindow::new(2, 1000, Guard::default());
        for at in [Mono(0), Mono(10)] {
            window.acquire(at, 1);
            window.answered(at, at, 1);
        }
        assert_eq!(window.ready(Mono(20), 1), Mono(SECOND + 10_001));
        window.acquire(Mono(SECOND + 10_001), 1);
        assert_eq!(
            window.ready(Mono(SECOND + 10_002), 1),
            Mono(SECOND + 10_011)
        );
        let guard = Guard {
            reach_ms: 0,
            ..Guard::default()
        };
        let mut window = SlidingWindow::new(1, 1000, guard);
        window.acquire(Mono(0), 1);
        assert_eq!(window.ready(Mono(20), 1), Mono(SECOND + 50_001));
    }

    #[test]
    fn use_counts_from_its_answer() {
        let mut window = SlidingWindow::new(
            2,
            1000,
            Guard {
                reach_ms: 500,
                ..Guard::NONE
            },
        );
        window.acquire(Mono(0), 1);
        window.acquire(Mono(1000), 1);
        assert_eq!(
            window.ready(Mono(2000), 1),
            Mono(SECOND + 2001),
            "if one is answered now"
        );
        window.answered(Mono(1000), Mono(300_000), 1);
        assert_eq!(window.ready(Mono(300_000), 1), Mono(SECOND + 300_001));
        let later = Mono(SECOND + 400_000);
        window.acquire(later, 1);
        assert_eq!(
            window.ready(later, 1),
            Mono(SECOND + 500_001),
            "the other counts from its 500th millisecond on"
        );
    }

    #[test]
    fn hanging_requests_do_not_close_the_window_forever() {
        let mut window = SlidingWindow::new(
            2,
            1000,
            Guard {
                reach_ms: 500,
                ..Guard::NONE
            },
        );
        window.acquire(Mono(0), 1);
        window.acquire(Mono(0), 1);
        let almost = Mono(SECOND + 500_000);
        assert_eq!(
            (window.ready(almost, 1), window.available(almost, almost)),
            (almost.plus_us(1), 0)
        );
        let over = almost.plus_us(1);
        assert_eq!(
            (window.ready(over, 1), window.available(over, over)),
            (over, 2),
            "though nobody drew meanwhile"
        );
    }

    #[test]
    fn window_slides() {
        let mut window = SlidingWindow::new(2, 1000, Guard::NONE);
        window.acquire(Mono(0), 1);
        window.acquire(Mono(900_000), 1);
        window.acquire(Mono(1_100_000), 1);
        assert_eq!(
            window.ready(Mono(1_100_000), 1),
            Mono(1_900_001),
            "no fixed window that opens at 2 s"
        );
    }

    #[test]
    fn restored_uses_count_and_only_the_newest_are_kept() {
        let mut window = SlidingWindow::new(3, 1000, Guard::NONE);
        window.acquire(Mono(500_000), 1);
        window.restore(&[(Mono(400_000), 2), (Mono(0), 4)]);
        assert_eq!(window.uses.len(), 2);
        assert_eq!(window.ready(Mono(600_000), 1), Mono(1_400_001));
        assert_eq!(window.available(Mono(1_400_001), Mono(1_400_001)), 2);
    }

    #[test]
    fn foreign_uses_count_until_the_reset_and_stale_reports_do_not() {
        let mut window = SlidingWindow::new(10, 1000, Guard::NONE);
        window.observe(None, Some(0), Some(300), Mono(0));
        assert_eq!(window.ready(Mono(0), 1), Mono(300_000));
        window.observe(None, Some(10), Some(1000), Mono(1));
        assert_eq!(
            window.ready(Mono(1), 1),
            Mono(300_000),
            "an observation never opens"
        );
        for i in 0..10 {
            window.acquire(Mono(300_000 + i), 1);
        }
        let later = Mono(2 * SECOND);
        window.observe(None, Some(0), Some(1000), later);
        assert_eq!(
            window.available(later, later),
            10,
            "those uses may have been the host's own"
        );
    }

    #[test]
    fn reported_limit_counts_only_if_smaller() {
        let mut window = SlidingWindow::new(10, 1000, Guard::NONE);
        window.observe(Some(4), None, None, Mono(0));
        assert_eq!(window.available(Mono(0), Mono(0)), 4);
        window.observe(Some(40), None, None, Mono(0));
        assert_eq!(window.available(Mono(0), Mono(0)), 10);
    }

    #[test]
    fn request_takes_as_many_uses_as_it_costs() {
        let mut window = SlidingWindow::new(
            10,
            1000,
            Guard {
                reach_ms: 500,
                ..Guard::NONE
            },
        );
        window.acquire(Mono(0), 6);
        window.acquire(Mono(100_000), 3);
        window.answered(Mono(0), Mono(10), 6);
        window.answered(Mono(100_000), Mono(100_010), 3);
        let now = Mono(200_000);
        assert_eq!((window.ready(now, 1), window.available(now, now)), (now, 1));
        assert_eq!(
            window.ready(now, 2),
            Mono(SECOND + 11),
            "when the six have ended"
        );
        assert_eq!(window.ready(now, 7), Mono(SECOND + 11));
        assert_eq!(
            window.ready(now, 8),
            Mono(SECOND + 100_011),
            "when all have ended"
        );
        assert_eq!(
            window.ready(now, 11),
            Mono::FAR,
            "more than the window ever holds"
        );
        window.observe(Some(4), None, None, now);
        assert_eq!(
            window.ready(now, 8),
            Mono(SECOND + 100_011),
            "more than the destination says that it admits: alone"
        );
    }

    #[test]
    fn long_horizon_counts_every_turn_of_the_window() {
        let mut window = SlidingWindow::new(3, 1, Guard::NONE);
        window.acquire(Mono(0), 1);
        let mut greedy = window.clone();
        let mut count = 0;
        let (mut now, end) = (Mono(0), Mono(10_500));
        while greedy.ready(now, 1) <= end {
            now = greedy.ready(now, 1);
            greedy.acquire(now, 1);
            count += 1;
        }
        assert_eq!(window.available(Mono(0), end), count);
    }
}
