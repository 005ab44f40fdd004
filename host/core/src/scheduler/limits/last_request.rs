//! The last request of a limit that keeps requests apart, and how late it may arrive.
//!
//! Two requests arrive as far apart as they were sent, less the delay of the first. So the next
//! request waits for the gap and for that delay. Until the first request is answered, the delay is
//! the guard's edge, however steady the answers before it were: a rare slow request must not break
//! the limit.

use super::kind::Guard;
use super::round_trips::RoundTrips;
use crate::time::Mono;

#[derive(Clone, Debug)]
pub(super) struct LastRequest {
    edge_us: u64,
    sent: Mono,
    /// How late it arrived at most, once it is answered.
    delay_us: Option<u64>,
    trips: RoundTrips,
}

impl LastRequest {
    /// As if a request had just been sent, because the time before a start is unknown.
    pub(super) const fn just_sent(guard: Guard, now: Mono) -> Self {
        Self {
            edge_us: edge_us(guard),
            sent: now,
            delay_us: None,
            trips: RoundTrips::new(),
        }
    }

    pub(super) const fn reshape(&mut self, guard: Guard) {
        self.edge_us = edge_us(guard);
    }

    pub(super) fn sent(&mut self, now: Mono) {
        self.sent = self.sent.max(now);
        self.delay_us = None;
    }

    /// The request that was sent at `sent` is answered.
    pub(super) fn answered(&mut self, sent: Mono, now: Mono) {
        let delay_us = self.trips.note(sent, now);
        if sent == self.sent {
            self.delay_us = Some(delay_us);
        }
    }

    /// When the request was sent.
    pub(super) const fn at(&self) -> Mono {
        self.sent
    }

    pub(super) const fn is_answered(&self) -> bool {
        self.delay_us.is_some()
    }

    /// How late it arrives at most, in microseconds.
    pub(super) fn delay_us(&self) -> u64 {
        self.delay_us
            .map_or(self.edge_us, |delay_us| delay_us.min(self.edge_us))
    }
}

const fn edge_us(guard: Guard) -> u64 {
    guard.edge_ms.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_is_the_edge_until_the_answer_shows_less() {
        let mut last = LastRequest::just_sent(Guard::default(), Mono(0));
        assert_eq!(last.delay_us(), 50_000);
        last.sent(Mono(150_000));
        last.answered(Mono(0), Mono(151_000));
        assert_eq!(last.delay_us(), 50_000, "another's answer");
        last.answered(Mono(150_000), Mono(153_000));
        assert_eq!((last.at(), last.delay_us()), (Mono(150_000), 3000));
        last.sent(Mono(253_000));
        last.answered(Mono(253_000), Mono(900_000));
        assert_eq!(last.delay_us(), 50_000, "the edge at most");
    }
}
