//! Requests in flight: acquired, not answered, and not too old to be still traveling.
//!
//! Such a request arrives at an unknown instant between its acquisition and its answer. A limit
//! that assumes the worst of these instants holds even if a stall on the way bunches requests.

use std::collections::VecDeque;

use crate::time::Mono;

/// The units of a limit that unanswered requests have acquired, by instant.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    draws: VecDeque<(Mono, u64)>,
    total: u64,
    /// An unanswered request counts as arrived after this time. 0: requests arrive at once.
    reach_us: u64,
}

impl InFlight {
    pub(super) fn new(reach_ms: u64) -> Self {
        Self {
            reach_us: reach_ms.saturating_mul(1000),
            ..Self::default()
        }
    }

    pub(super) fn reshape(&mut self, reach_ms: u64) {
        self.reach_us = reach_ms.saturating_mul(1000);
    }

    /// The units in flight.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// A request of `units` was acquired at `at`, which is not before the last one. False: it
    /// counts as arrived at once.
    pub(super) fn sent(&mut self, at: Mono, units: u64) -> bool {
        if self.reach_us == 0 {
            return false;
        }
        match self.draws.back_mut() {
            Some((last, known)) if *last >= at => *known += units,
            _ => self.draws.push_back((at, units)),
        }
        self.total += units;
        true
    }

    /// The request of `units` that was acquired at `at` is answered. False: it counted as arrived
    /// already.
    pub(super) fn arrive(&mut self, at: Mono, units: u64) -> bool {
        let Ok(index) = self.draws.binary_search_by_key(&at, |(drawn, _)| *drawn) else {
            return false;
        };
        let known = &mut self.draws[index].1;
        let units = units.min(*known);
        *known -= units;
        if *known == 0 {
            self.draws.remove(index);
        }
        self.total -= units;
        true
    }

    /// For each request in flight, the oldest first: when it counts as arrived, and its units.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = (Mono, u64)> {
        self.draws
            .iter()
            .map(|(at, units)| (at.plus_us(self.reach_us), *units))
    }

    /// When the oldest counted as arrived, if that is past.
    pub(super) fn oldest_overdue(&self, now: Mono) -> Option<Mono> {
        self.arrivals()
            .map(|(arrived, _)| arrived)
            .next()
            .filter(|arrived| *arrived <= now)
    }

    /// Takes out the oldest if it has been in flight for the whole reach. Returns when it counted
    /// as arrived, and its units.
    pub(super) fn overdue(&mut self, now: Mono) -> Option<(Mono, u64)> {
        let (arrived, units) = self.arrivals().next()?;
        if arrived > now {
            return None;
        }
        self.draws.pop_front();
        self.total -= units;
        Some((arrived, units))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn request_is_in_flight_until_its_answer_or_for_the_whole_reach() {
        let mut way = InFlight::new(1);
        for at in [0, 0, 400, 900] {
            assert!(way.sent(Mono(at), 1));
        }
        assert!(way.arrive(Mono(400), 1));
        assert!(!way.arrive(Mono(400), 1), "once only");
        assert_eq!(way.total(), 3);
        assert_eq!(way.overdue(Mono(999)), None);
        assert_eq!(way.overdue(Mono(1000)), Some((Mono(1000), 2)));
        assert!(!way.arrive(Mono(0), 1), "it counts as arrived");
        assert_eq!((way.total(), way.overdue(Mono(1000))), (1, None));
    }

    #[test]
    fn requests_of_one_instant_are_answered_one_by_one_with_their_units() {
        let mut way = InFlight::new(1);
        assert!(way.sent(Mono(0), 7) && way.sent(Mono(0), 5));
        assert!(way.arrive(Mono(0), 5));
        assert_eq!(
            (way.total(), way.arrivals().next()),
            (7, Some((Mono(1000), 7)))
        );
    }

    #[test]
    fn zero_reach_keeps_nothing_in_flight() {
        let mut way = InFlight::new(0);
        assert!(!way.sent(Mono(5), 1));
        assert_eq!(way.total(), 0);
    }
}
