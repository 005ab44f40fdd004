//! A minimum interval between two requests. The delay of the earlier one lengthens it, by the
//! guard's edge at most.

use super::kind::Guard;
use super::last_request::LastRequest;
use crate::time::Mono;

/// A minimum interval with its last request.
#[derive(Clone, Debug)]
pub(super) struct MinInterval {
    gap_us: u64,
    last: LastRequest,
    /// The destination reported that nothing is left until then.
    not_before: Mono,
}

impl MinInterval {
    /// Starts as if a request had just been sent, because the time before a start is unknown.
    pub(super) const fn just_used(interval_ms: u64, guard: Guard, now: Mono) -> Self {
        Self {
            gap_us: interval_ms.saturating_mul(1000),
            last: LastRequest::just_sent(guard, now),
            not_before: Mono(0),
        }
    }

    /// Takes a new interval and keeps the last request.
    pub(super) const fn reshape(&mut self, interval_ms: u64, guard: Guard) {
        self.gap_us = interval_ms.saturating_mul(1000);
        self.last.reshape(guard);
    }

    /// The earliest instant, not before `now`, that is far enough from the last request if that is
    /// not answered before.
    pub(super) fn ready(&self, now: Mono) -> Mono {
        self.last
            .at()
            .plus_us(self.gap_us)
            .plus_us(self.last.delay_us())
            .max(self.not_before)
            .max(now)
    }

    pub(super) fn acquire(&mut self, now: Mono) {
        self.last.sent(now);
    }

    /// The request that was acquired at `drawn` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono) {
        self.last.answered(drawn, now);
    }

    /// How many requests could be acquired from `from` up to `to`, if each is answered at once.
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

    /// Forgets what the destination reported.
    pub(super) const fn reopen(&mut self) {
        self.not_before = Mono(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unanswered_request_adds_the_edge_and_an_answered_one_its_round_trip() {
        let mut spacing = MinInterval::just_used(100, Guard::default(), Mono(0));
        assert_eq!(spacing.ready(Mono(0)), Mono(150_000));
        spacing.acquire(Mono(150_000));
        assert_eq!(spacing.ready(Mono(160_000)), Mono(300_000));
        assert_eq!(spacing.available(Mono(160_000), Mono(600_000)), 4);
        assert_eq!(spacing.available(Mono(160_000), Mono(299_999)), 0);
        spacing.answered(Mono(150_000), Mono(152_000));
        assert_eq!(spacing.ready(Mono(160_000)), Mono(252_000));
    }
}
