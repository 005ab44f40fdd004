//! How late a request may have arrived, judged by its answer and by the answers of others.
//!
//! A request arrives between its acquisition and its answer, so its round trip bounds its delay. If
//! many recent round trips are known, the bound is closer: a destination that takes 80 to 84 ms for
//! each request spends most of that time on its answer, and the network delay varies by
//! milliseconds. The delay that counts is the delay beyond the shortest one, because all requests
//! have that in common.

use crate::time::Mono;

/// Round trips count for one to two spans of this length, in microseconds.
const SPAN_US: u64 = 15_000_000;
/// With fewer recent answers than this, each request is judged by its own round trip alone. If
/// delays are random, the shortest of these round trips is close to the shortest possible one.
const ENOUGH_ANSWERS: u32 = 64;

/// The round trips of one span of time.
#[derive(Clone, Copy, Debug)]
struct Span {
    answers: u32,
    shortest_us: u64,
    longest_us: u64,
}

impl Span {
    const EMPTY: Self = Self {
        answers: 0,
        shortest_us: u64::MAX,
        longest_us: 0,
    };

    fn and(self, other: Self) -> Self {
        Self {
            answers: self.answers.saturating_add(other.answers),
            shortest_us: self.shortest_us.min(other.shortest_us),
            longest_us: self.longest_us.max(other.longest_us),
        }
    }

    const fn spread_us(self) -> u64 {
        self.longest_us.saturating_sub(self.shortest_us)
    }
}

/// The recent round trips of one limit's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundTrips {
    since: Mono,
    current: Span,
    previous: Span,
}

impl RoundTrips {
    pub(super) const fn new() -> Self {
        Self {
            since: Mono(0),
            current: Span::EMPTY,
            previous: Span::EMPTY,
        }
    }

    /// Notes a round trip. Returns how much later than the shortest way, in microseconds, its
    /// request arrived at most.
    pub(super) fn note(&mut self, sent: Mono, answered: Mono) -> u64 {
        (self.previous, self.current, self.since) = match answered.since_us(self.since) / SPAN_US {
            0 => (self.previous, self.current, self.since),
            1 => (self.current, Span::EMPTY, answered),
            _ => (Span::EMPTY, Span::EMPTY, answered),
        };
        let trip_us = answered.since_us(sent);
        self.current = self.current.and(Span {
            answers: 1,
            shortest_us: trip_us,
            longest_us: trip_us,
        });
        self.known(answered).map_or(trip_us, |known| {
            // Half of the spread covers a shortest round trip that was not the shortest way.
            let beyond_us = trip_us.saturating_sub(known.shortest_us) + known.spread_us() / 2;
            beyond_us.min(trip_us)
        })
    }

    fn known(&self, now: Mono) -> Option<Span> {
        let recent = match now.since_us(self.since) / SPAN_US {
            0 => self.current.and(self.previous),
            1 => self.current,
            _ => Span::EMPTY,
        };
        (recent.answers >= ENOUGH_ANSWERS).then_some(recent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(trips: &mut RoundTrips, us: &[u64]) -> u64 {
        let mut last = 0;
        for (i, us) in us.iter().enumerate() {
            let sent = Mono(i as u64 * 100_000);
            last = trips.note(sent, sent.plus_us(*us));
        }
        last
    }

    #[test]
    fn few_round_trips_bound_each_request_by_its_own() {
        let mut trips = RoundTrips::new();
        assert_eq!(after(&mut trips, &[80_000, 84_000]), 84_000);
    }

    #[test]
    fn many_steady_round_trips_leave_little_doubt() {
        let mut trips = RoundTrips::new();
        let steady: Vec<u64> = (0..100).map(|i| 80_000 + i % 5 * 1000).collect();
        assert_eq!(after(&mut trips, &steady), 4000 + 2000, "of 80 to 84 ms");
        let later = Mono(60_000_000);
        let alone = trips.note(later, later.plus_us(80_000));
        assert_eq!(alone, 80_000, "the others are too old");
    }

    #[test]
    fn short_round_trip_is_its_own_bound() {
        let mut trips = RoundTrips::new();
        let mut varied: Vec<u64> = (0..100).map(|i| 1000 + i * 500).collect();
        varied.push(2000);
        assert_eq!(after(&mut trips, &varied), 2000);
    }
}
