//! A concurrency limit: requests that may be unanswered at once.

use crate::time::Mono;

/// A concurrency limit with its slots in use.
#[derive(Clone, Debug)]
pub(super) struct Concurrency {
    max: u64,
    in_use: u64,
    /// A smaller maximum that the destination reported.
    observed_max: Option<u64>,
    turnover: Turnover,
}

/// How many slots were taken recently. A slot that is taken was free before, so this is also how
/// many come free.
#[derive(Clone, Debug, Default)]
struct Turnover {
    since: Mono,
    taken: u64,
    taken_before: u64,
}

/// The time over which turnover is counted, in milliseconds.
const TURNOVER_MS: u64 = 500;

impl Turnover {
    fn take(&mut self, now: Mono) {
        let passed = now.since_ms(self.since);
        if passed >= TURNOVER_MS {
            self.taken_before = if passed < 2 * TURNOVER_MS {
                self.taken
            } else {
                0
            };
            (self.taken, self.since) = (0, now);
        }
        self.taken += 1;
    }

    /// Slots that come free in a span of this length at the recent pace.
    fn in_span(&self, now: Mono, span_ms: u64) -> u64 {
        let passed = now.since_ms(self.since);
        if passed >= 2 * TURNOVER_MS {
            return 0;
        }
        let recent = if passed >= TURNOVER_MS {
            self.taken
        } else {
            self.taken_before.max(self.taken)
        };
        recent.saturating_mul(span_ms) / TURNOVER_MS
    }
}

impl Concurrency {
    pub(super) fn new(max: u32) -> Self {
        Self {
            max: u64::from(max),
            in_use: 0,
            observed_max: None,
            turnover: Turnover::default(),
        }
    }

    /// Takes a new size and keeps the slots in use.
    pub(super) fn reshape(&mut self, max: u32) {
        self.max = u64::from(max);
        self.observed_max = None;
    }

    pub(super) fn acquire(&mut self, now: Mono) {
        self.in_use += 1;
        self.turnover.take(now);
    }

    pub(super) const fn answered(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    pub(super) fn observe(&mut self, limit: Option<u64>) {
        self.observed_max = limit.filter(|l| *l > 0).or(self.observed_max);
    }

    /// Forgets what the destination reported.
    pub(super) const fn reopen(&mut self) {
        self.observed_max = None;
    }

    pub(super) fn free(&self) -> u64 {
        self.observed_max
            .map_or(self.max, |m| m.min(self.max))
            .saturating_sub(self.in_use)
    }

    /// Those that are free, and those that will be by then: at most as many again as there are, so
    /// that a destination that stops answering leaves few callers waiting.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        self.free() + self.turnover.in_span(from, to.since_ms(from)).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_in_use_count_at_the_recent_pace() {
        let mut slots = Concurrency::new(10);
        let mut now = Mono(0);
        // 100 a second, each answered at once, except for the last ten, which hang.
        for _ in 0..100 {
            slots.acquire(now);
            slots.answered();
            now = now.plus_ms(10);
        }
        for _ in 0..10 {
            slots.acquire(now);
        }
        assert_eq!(slots.free(), 0);
        assert_eq!(
            slots.available(now, now.plus_ms(50)),
            5,
            "at the recent pace"
        );
        assert_eq!(
            slots.available(now, now.plus_ms(300)),
            10,
            "at most as many again"
        );
        let later = now.plus_ms(2000);
        assert_eq!(
            slots.available(later, later.plus_ms(300)),
            0,
            "nothing came free recently"
        );
    }
}
