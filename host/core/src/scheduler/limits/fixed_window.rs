//! Fixed windows: at most `max` in each of the consecutive windows that start at an anchor, like a
//! daily quota that resets at midnight.
//!
//! Windows begin by wall time, so the limit needs the relation of wall time to the monotonic clock.
//! A request may arrive in the window after the one in which it was acquired, and the destination's
//! clock may differ from the host's by the guard's edge. So a request counts in every window that
//! overlaps its time in flight, extended by an edge at both ends. Windows are numbered from the
//! anchor. The newest number seen stays, so a wall clock that steps back opens nothing. If the
//! clock was ahead by more than a window, the uses of that time count in the current window and the
//! next one (uses from before that time are dropped).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::in_flight::InFlight;
use super::kind::Guard;
use super::observation::STALE_US;
use crate::time::{Mono, Wall, WallOffset};

/// The most windows before the newest that a request counts in. It bounds the work after a wall
/// clock is set back by years.
const KEPT: i64 = 128;

/// Consecutive windows with the uses of those that still matter.
#[derive(Clone, Debug)]
pub(super) struct FixedWindow {
    max: u64,
    shape: Shape,
    edge_us: i64,
    offset: WallOffset,
    /// The newest window that a request may have been in.
    newest: i64,
    /// By window; those before the oldest that a request may still be in are forgotten.
    used: BTreeMap<i64, u64>,
    in_flight: InFlight,
    /// Uses that the destination reported beyond the host's own. They are part of `used`.
    foreign: Option<Foreign>,
    /// A smaller maximum that the destination reported.
    observed_max: Option<u64>,
}

/// Uses of one window that the host did not make.
#[derive(Clone, Copy, Debug)]
struct Foreign {
    window: i64,
    count: u64,
    until: Mono,
}

/// Where the windows begin and end, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    anchor_us: i64,
    length_us: i64,
}

impl Shape {
    fn of(window_ms: u64, anchor: Wall) -> Self {
        let length_us = i64::try_from(window_ms.max(1))
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        Self {
            anchor_us: anchor.0.saturating_mul(1000),
            length_us,
        }
    }

    /// The window of an instant of wall time.
    const fn number(self, wall_us: i64) -> i64 {
        wall_us
            .saturating_sub(self.anchor_us)
            .div_euclid(self.length_us)
    }

    /// When a window begins, in wall time.
    const fn begin_us(self, number: i64) -> i64 {
        number
            .saturating_mul(self.length_us)
            .saturating_add(self.anchor_us)
    }
}

impl FixedWindow {
    /// Windows without uses. [`FixedWindow::restore`] adds uses from before a restart.
    pub(super) fn new(
        max: u32,
        window_ms: u64,
        anchor: Wall,
        guard: Guard,
        offset: WallOffset,
    ) -> Self {
        Self {
            max: u64::from(max),
            shape: Shape::of(window_ms, anchor),
            edge_us: edge_us(guard),
            offset,
            newest: i64::MIN,
            used: BTreeMap::new(),
            in_flight: InFlight::new(guard.reach_ms),
            foreign: None,
            observed_max: None,
        }
    }

    /// Takes new sizes. If the windows begin at other times, the uses of the current window count
    /// in the new current one.
    pub(super) fn reshape(
        &mut self,
        max: u32,
        window_ms: u64,
        anchor: Wall,
        guard: Guard,
        now: Mono,
    ) {
        self.reckon(now);
        self.max = u64::from(max);
        self.observed_max = None;
        self.edge_us = edge_us(guard);
        self.in_flight.reshape(guard.reach_ms);
        let shape = Shape::of(window_ms, anchor);
        if shape != self.shape {
            let used = self.used.values().copied().max().unwrap_or(0);
            self.shape = shape;
            self.foreign = None;
            self.newest = self.last(now);
            self.used = (self.first_kept(now)..=self.newest)
                .map(|number| (number, used))
                .collect();
        }
    }

    /// How wall time relates to the monotonic clock from now on.
    pub(super) const fn set_offset(&mut self, offset: WallOffset) {
        self.offset = offset;
    }

    /// The uses of the current window, for a limit of another kind that takes over.
    pub(super) fn used_now(&mut self, now: Mono) -> u64 {
        self.reckon(now);
        self.used.values().copied().max().unwrap_or(0)
    }

    /// Adds uses of the past.
    pub(super) fn restore(&mut self, past: &[(Mono, u64)]) {
        for (at, units) in past {
            self.newest = self.newest.max(self.last(*at));
            for number in self.first(*at).max(self.last(*at).saturating_sub(KEPT))..=self.last(*at)
            {
                *self.used.entry(number).or_default() += *units;
            }
        }
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
        // A request that is larger than the reported maximum goes in a window of its own.
        let allowed = max.saturating_sub(units);
        let windows = self.reckoned(now);
        // Of the windows that the request would count in, the last without room decides.
        let full = windows
            .used
            .range(windows.first(now)..)
            .rev()
            .find(|(_, used)| **used > allowed);
        full.map_or(now, |(number, _)| {
            windows
                .opens(number.saturating_add(1))
                .min(windows.foreign_ends(*number))
                .max(now)
        })
    }

    /// Acquires one request of `units`.
    pub(super) fn acquire(&mut self, now: Mono, units: u64) {
        self.reckon(now);
        for number in self.first_kept(now)..=self.newest {
            *self.used.entry(number).or_default() += units;
        }
        self.in_flight.sent(now, units);
    }

    /// The request of `units` that was acquired at `drawn` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono, units: u64) {
        self.reckon(now);
        self.in_flight.arrive(drawn, units);
    }

    /// How many units could be acquired from `from` up to `to`.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        let mut windows = self.reckoned(from).into_owned();
        let (mut at, mut count) = (from, 0_u64);
        // A few windows are touched by requests that are known; from then on each brings its
        // maximum.
        for _ in 0..4 {
            at = windows.ready(at, 1);
            if at > to {
                return count;
            }
            windows.reckon(at);
            let used = windows
                .used
                .range(windows.first(at)..)
                .map(|(_, used)| *used)
                .max()
                .unwrap_or(0);
            let free = windows.max_now().saturating_sub(used);
            windows.acquire(at, free);
            windows.answered(at, at, free);
            count = count.saturating_add(free);
        }
        at = windows.ready(at, 1);
        if at > to {
            return count;
        }
        let length_us = u64::try_from(windows.shape.length_us).unwrap_or(u64::MAX);
        let more = to.since_us(at) / length_us + 1;
        count.saturating_add(more.saturating_mul(windows.max_now()))
    }

    /// Counts the destination's uses beyond the host's own. The reset tells which window they
    /// belong to. Without a reset it is the current window, unless the answer may be older than the
    /// window.
    pub(super) fn observe(
        &mut self,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        most_ms: u64,
        now: Mono,
    ) {
        self.reckon(now);
        if let Some(limit) = limit.filter(|l| *l > 0) {
            self.observed_max = Some(limit);
        }
        let Some(remaining) = remaining else { return };
        let wall_us = self.offset.wall_us(now);
        let number = match reset_ms {
            Some(reset_ms) => {
                let ends_us = wall_us.saturating_add(
                    i64::try_from(reset_ms)
                        .unwrap_or(i64::MAX)
                        .saturating_mul(1000),
                );
                self.shape
                    .number(ends_us.saturating_sub(self.shape.length_us / 2))
            }
            None => {
                let number = self.shape.number(wall_us);
                if wall_us.abs_diff(self.shape.begin_us(number)) < STALE_US {
                    return;
                }
                number
            }
        };
        if !(self.first(now)..=self.newest).contains(&number) {
            return;
        }
        let used_there = self.max_now().saturating_sub(remaining);
        let used = self.used.entry(number).or_default();
        let count = used_there.saturating_sub(*used);
        *used += count;
        if count > 0 {
            let known = self.foreign.filter(|known| known.window == number);
            self.foreign = Some(Foreign {
                window: number,
                count: count + known.map_or(0, |known| known.count),
                until: now.plus_ms(most_ms),
            });
        }
    }

    /// Forgets what the destination reported.
    pub(super) fn reopen(&mut self, now: Mono) {
        self.reckon(now);
        self.observed_max = None;
        self.forget_foreign();
    }

    fn forget_foreign(&mut self) {
        if let Some(foreign) = self.foreign.take()
            && let Some(used) = self.used.get_mut(&foreign.window)
        {
            *used = used.saturating_sub(foreign.count);
        }
    }

    /// When this window loses uses because a report counts no longer.
    fn foreign_ends(&self, number: i64) -> Mono {
        self.foreign
            .filter(|foreign| foreign.window == number)
            .map_or(Mono::FAR, |foreign| foreign.until)
    }

    fn foreign_is_over(&self, now: Mono) -> bool {
        self.foreign.is_some_and(|foreign| foreign.until <= now)
    }

    fn max_now(&self) -> u64 {
        self.observed_max
            .map_or(self.max, |observed| observed.min(self.max))
    }

    /// The first window that a request of this instant may be counted in.
    const fn first(&self, at: Mono) -> i64 {
        self.shape
            .number(self.offset.wall_us(at).saturating_sub(self.edge_us))
    }

    /// The same, within the bound on kept windows.
    fn first_kept(&self, now: Mono) -> i64 {
        self.first(now).max(self.newest.saturating_sub(KEPT))
    }

    /// The last window that a request of this instant may be counted in, if it arrives at once.
    const fn last(&self, at: Mono) -> i64 {
        self.shape
            .number(self.offset.wall_us(at).saturating_add(self.edge_us))
    }

    /// From when on a request cannot count before this window.
    const fn opens(&self, number: i64) -> Mono {
        self.offset
            .mono_of_us(self.shape.begin_us(number).saturating_add(self.edge_us))
    }

    /// The windows as of `now`. They may be outdated, if a window began since the last acquisition.
    fn reckoned(&self, now: Mono) -> Cow<'_, Self> {
        let last = self.last(now);
        if last <= self.newest
            && !self.is_ahead(last)
            && self.in_flight.oldest_overdue(now).is_none()
            && !self.foreign_is_over(now)
        {
            return Cow::Borrowed(self);
        }
        let mut windows = self.clone();
        windows.reckon(now);
        Cow::Owned(windows)
    }

    /// Carries requests in flight into windows that have begun, and drops windows that are over.
    fn reckon(&mut self, now: Mono) {
        while let Some(arrived) = self.in_flight.oldest_overdue(now) {
            self.begin(arrived);
            self.in_flight.overdue(now);
        }
        self.begin(now);
        if self.foreign_is_over(now) {
            self.forget_foreign();
        }
        let first = self.first(now).min(self.newest);
        self.used.retain(|number, _| *number >= first);
    }

    /// The wall clock was ahead by more than a window and was corrected.
    const fn is_ahead(&self, last: i64) -> bool {
        last < self.newest.saturating_sub(1)
    }

    /// Requests in flight may arrive in every window that has begun by now.
    fn begin(&mut self, now: Mono) {
        let last = self.last(now);
        if self.is_ahead(last) {
            let ahead = self.used.split_off(&last.saturating_add(1));
            let used = ahead.into_values().max().unwrap_or(0);
            self.newest = last.saturating_add(1);
            for number in [last, self.newest] {
                let known = self.used.entry(number).or_default();
                *known = used.max(*known);
            }
        }
        if last <= self.newest {
            return;
        }
        for number in self
            .newest
            .saturating_add(1)
            .max(self.first(now))
            .max(last.saturating_sub(KEPT))..=last
        {
            *self.used.entry(number).or_default() += self.in_flight.total();
        }
        self.newest = last;
    }
}

fn edge_us(guard: Guard) -> i64 {
    i64::try_from(guard.edge_ms)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: Wall = Wall(1_767_225_600_000);
    const DAY_MS: u64 = 86_400_000;

    /// Ten a day, counted from midnight; the monotonic clock shows 0 at 23:00.
    fn a_day(guard: Guard) -> FixedWindow {
        let eleven = NEW_YEAR.plus_ms(23 * 3_600_000);
        FixedWindow::new(10, DAY_MS, NEW_YEAR, guard, WallOffset::of(Mono(0), eleven))
    }

    const MIDNIGHT: Mono = Mono(3600 * SECOND);

    #[test]
    fn window_starts_anew_at_the_anchor() {
        let mut window = a_day(Guard::NONE);
        window.acquire(Mono(0), 8);
        window.answered(Mono(0), Mono(10), 8);
        assert_eq!(
            (
                window.ready(Mono(20), 2),
                window.available(Mono(20), Mono(20))
            ),
            (Mono(20), 2)
        );
        assert_eq!(window.ready(Mono(20), 3), MIDNIGHT);
        assert_eq!(window.available(Mono(20), MIDNIGHT), 12);
        assert_eq!(
            window.ready(MIDNIGHT, 10),
            MIDNIGHT,
            "though two hours ago eight were used"
        );
        assert_eq!(window.ready(Mono(0), 11), Mono::FAR);
    }

    #[test]
    fn request_near_midnight_counts_on_both_sides() {
        let mut window = a_day(Guard {
            edge_ms: 50,
            ..Guard::NONE
        });
        window.acquire(MIDNIGHT.minus_ms(20), 7);
        let after = MIDNIGHT.plus_ms(100);
        assert_eq!(window.available(after, after), 3);
        window.acquire(MIDNIGHT.plus_ms(20), 3);
        assert_eq!(window.available(after, after), 0);
        assert_eq!(window.ready(after, 1), MIDNIGHT.plus_ms(DAY_MS + 50));
    }

    #[test]
    fn request_in_flight_at_midnight_counts_on_both_sides() {
        let mut window = a_day(Guard {
            reach_ms: 1000,
            ..Guard::NONE
        });
        let before = MIDNIGHT.minus_ms(700);
        window.acquire(before, 4);
        window.acquire(before, 5);
        window.answered(before, MIDNIGHT.minus_ms(100), 4);
        window.answered(before, MIDNIGHT.plus_ms(100), 5);
        let after = MIDNIGHT.plus_ms(200);
        assert_eq!(
            window.available(after, after),
            5,
            "the five may have arrived on either day"
        );
        let mut lost = a_day(Guard {
            reach_ms: 1000,
            ..Guard::NONE
        });
        lost.acquire(before.minus_ms(500), 4);
        assert_eq!(
            lost.available(after, after),
            10,
            "it had arrived before, if ever"
        );
    }

    #[test]
    fn clock_set_back_opens_nothing_and_clock_set_right_does() {
        let mut window = a_day(Guard::NONE);
        window.acquire(Mono(0), 10);
        window.set_offset(WallOffset::of(Mono(10), NEW_YEAR.plus_ms(-5 * 3_600_000)));
        assert_eq!(window.available(Mono(10), Mono(10)), 0, "a day before");
        // It was an hour slow all the time.
        window.set_offset(WallOffset::of(Mono(20), NEW_YEAR.plus_ms(24 * 3_600_000)));
        assert_eq!(window.available(Mono(20), Mono(20)), 10);
    }

    #[test]
    fn clock_a_year_ahead_closes_nothing_for_a_year() {
        let mut window = a_day(Guard::NONE);
        window.set_offset(WallOffset::of(Mono(0), NEW_YEAR.plus_ms(365 * 86_400_000)));
        window.acquire(Mono(0), 4);
        window.set_offset(WallOffset::of(Mono(0), NEW_YEAR.plus_ms(23 * 3_600_000)));
        assert_eq!(
            window.available(Mono(10), Mono(10)),
            6,
            "what was used counts"
        );
        window.acquire(Mono(10), 6);
        assert_eq!(
            window.ready(Mono(20), 1),
            MIDNIGHT.plus_ms(DAY_MS),
            "in the window of now and the next one"
        );
    }

    #[test]
    fn reshaped_windows_keep_their_uses() {
        let mut window = a_day(Guard::NONE);
        window.acquire(Mono(0), 6);
        window.reshape(8, 3_600_000, NEW_YEAR.plus_ms(1000), Guard::NONE, Mono(10));
        assert_eq!(window.available(Mono(10), Mono(10)), 2);
        assert_eq!(window.ready(Mono(10), 3), Mono(SECOND));
    }

    #[test]
    fn restored_uses_count_in_their_window() {
        let mut window = a_day(Guard::NONE);
        let now = MIDNIGHT.plus_ms(1000);
        window.restore(&[(MIDNIGHT.minus_ms(10), 9), (MIDNIGHT.plus_ms(5), 4)]);
        assert_eq!(window.available(now, now), 6);
    }

    #[test]
    fn foreign_uses_count_in_the_reported_window() {
        let mut window = a_day(Guard::NONE);
        let before = MIDNIGHT.minus_ms(1000);
        window.observe(None, Some(3), None, DAY_MS, before);
        assert_eq!(window.available(before, before), 3);
        window.observe(None, Some(9), Some(1000), DAY_MS, before);
        assert_eq!(
            window.available(before, before),
            3,
            "an observation never opens"
        );
        let after = MIDNIGHT.plus_ms(1000);
        window.observe(None, Some(0), None, DAY_MS, after);
        assert_eq!(
            window.available(after, after),
            10,
            "the answer may be of yesterday"
        );
        window.observe(None, Some(2), Some(DAY_MS - 1000), DAY_MS, after);
        assert_eq!(window.available(after, after), 2);
        window.observe(Some(1), None, None, DAY_MS, after);
        assert_eq!(window.ready(after, 1), MIDNIGHT.plus_ms(DAY_MS));
    }
}
