//! A minimum interval between two requests, lengthened by the guard's edge.

use super::kind::Guard;
use crate::time::Mono;

/// A minimum interval with the instant of the last request.
#[derive(Clone, Debug)]
pub(super) struct MinInterval {
    gap_us: u64,
    last: Mono,
    /// The destination reported that nothing is left until then.
    not_before: Mono,
}

impl MinInterval {
    /// Starts as if a request had just been sent, because the time before a start is unknown.
    pub(super) fn just_used(interval_ms: u64, guard: Guard, now: Mono) -> Self {
        Self {
            gap_us: gap_us(interval_ms, guard),
            last: now,
            not_before: Mono::default(),
        }
    }

    /// Takes a new interval and keeps the last request.
    pub(super) fn reshape(&mut self, interval_ms: u64, guard: Guard) {
        self.gap_us = gap_us(interval_ms, guard);
    }

    /// The earliest instant, not before `now`, that is far enough from the last request.
    pub(super) fn ready(&self, now: Mono) -> Mono {
        self.last.plus_us(self.gap_us).max(self.not_before).max(now)
    }

    pub(super) fn acquire(&mut self, now: Mono) {
        self.last = self.last.max(now);
    }

    /// How many requests could be acquired from `from` up to `to`.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        let first = self.ready(from);
        if first > to {
            return 0;
        }
        to.since_us(first)
            .checked_div(self.gap_us)
            .map_or(u64::MAX, |more| more.saturating_add(1))
    }

    pub(super) fn defer(&mut self, until: Mono) {
        self.not_before = self.not_before.max(until);
    }
}

fn gap_us(interval_ms: u64, guard: Guard) -> u64 {
    interval_ms
        .saturating_add(guard.edge_ms)
        .saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_interval_and_the_edge_apart() {
        let mut spacing = MinInterval::just_used(100, Guard::default(), Mono(0));
        assert_eq!(spacing.ready(Mono(0)), Mono(150_000));
        spacing.acquire(Mono(150_000));
        assert_eq!(spacing.ready(Mono(160_000)), Mono(300_000));
        assert_eq!(spacing.available(Mono(160_000), Mono(600_000)), 3);
        assert_eq!(spacing.available(Mono(160_000), Mono(299_999)), 0);
    }
}
