//! Scripted faults: the faults of a call are drawn from the seed when the call arrives.
//!
//! Every counted call draws the same number of random values, so the faults of the n-th call
//! depend only on the seed, n and the shares. The handlers carry the faults out.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{clock::Stamp, scenario::Faults};

const US_PER_MS: u64 = 1_000;

/// The faults of one call. Each fault applies only where it makes sense.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FaultDecision {
    /// Answer 503 and apply nothing.
    pub(crate) error_5xx: bool,
    /// Wait this long before anything is applied.
    pub(crate) latency_ms: Option<u64>,
    /// Close the connection instead of sending the answer.
    pub(crate) drop_after_write: bool,
    /// Answer 413 and apply nothing.
    pub(crate) batch_refusal: bool,
}

impl FaultDecision {
    /// Waits for the drawn latency.
    pub(crate) async fn wait(&self) {
        if let Some(ms) = self.latency_ms {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}

/// The random draws and the cool-downs of a shop.
#[derive(Debug)]
pub(crate) struct FaultScript {
    faults: Faults,
    draws: StdRng,
    /// Start and end of each cool-down, ordered by start; they may overlap.
    closures: Vec<(Stamp, Stamp)>,
}

impl FaultScript {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            draws: StdRng::seed_from_u64(seed),
            closures: Vec::new(),
        }
    }

    /// Replaces the faults; draws and closures continue.
    pub(crate) fn replace(&mut self, faults: Faults) {
        self.faults = faults;
    }

    pub(crate) fn reseed(&mut self, seed: u64) {
        self.draws = StdRng::seed_from_u64(seed);
    }

    pub(crate) fn draw(&mut self) -> FaultDecision {
        let [error, latency, dropped, refusal]: [f64; 4] = self.draws.random();
        let faults = &self.faults;
        // A drawn value is below 1, so a share of 1 always applies and a share of 0 never does.
        FaultDecision {
            error_5xx: error < faults.error_5xx,
            latency_ms: (latency < faults.latency.share).then_some(faults.latency.ms),
            drop_after_write: dropped < faults.drop_after_write,
            batch_refusal: refusal < faults.batch_refusal,
        }
    }

    /// The microseconds until the shop opens again, if it is closed at this instant.
    pub(crate) fn closed_for_us(&self, at: Stamp) -> Option<u64> {
        let open_again = self.closures.iter().map(|&(_, until)| until).max()?;
        Some(open_again.us_since(at)).filter(|&left_us| left_us > 0)
    }

    /// Closes the shop if a cool-down starts with the call of this number.
    pub(crate) fn arrived(&mut self, counted_calls: u64, at: Stamp) {
        let due = self.faults.cool_downs.iter();
        for cool_down in due.filter(|cool_down| cool_down.after_calls == counted_calls) {
            let until = at.plus_us(cool_down.ms.saturating_mul(US_PER_MS));
            self.closures.push((at, until));
        }
    }

    /// The microseconds between the two instants in which the shop was closed.
    pub(crate) fn closed_us_between(&self, first: Stamp, last: Stamp) -> u64 {
        let mut counted_to = first;
        let mut closed_us = 0;
        for &(from, until) in &self.closures {
            let (from, until) = (from.max(counted_to), until.min(last));
            closed_us += until.us_since(from);
            counted_to = counted_to.max(until);
        }
        closed_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{CoolDown, Latency};

    fn at_ms(ms: u64) -> Stamp {
        Stamp::from_us(ms * US_PER_MS)
    }

    #[test]
    fn draws_repeat_with_the_seed() {
        let faults = Faults {
            error_5xx: 0.3,
            latency: Latency { share: 0.5, ms: 9 },
            drop_after_write: 0.2,
            batch_refusal: 0.1,
            ..Faults::default()
        };
        let decisions = |seed| -> Vec<FaultDecision> {
            let mut script = FaultScript::new(faults.clone(), seed);
            (0..200).map(|_| script.draw()).collect()
        };
        assert_eq!(decisions(7), decisions(7));
        assert_ne!(decisions(7), decisions(8));
        let errors = decisions(7)
            .iter()
            .filter(|faults| faults.error_5xx)
            .count();
        assert!(
            (30..90).contains(&errors),
            "{errors} of 200 at a share of 0.3"
        );
    }

    #[test]
    fn shares_of_0_and_1_mean_never_and_always() {
        let mut script = FaultScript::new(
            Faults {
                drop_after_write: 1.0,
                ..Faults::default()
            },
            1,
        );
        for _ in 0..100 {
            let expected = FaultDecision {
                drop_after_write: true,
                ..FaultDecision::default()
            };
            assert_eq!(script.draw(), expected);
        }
    }

    #[test]
    fn cool_down_closes_at_its_count_and_counts_overlaps_once() {
        let cool_downs = vec![
            CoolDown {
                after_calls: 2,
                ms: 100,
            },
            CoolDown {
                after_calls: 3,
                ms: 100,
            },
        ];
        let mut script = FaultScript::new(
            Faults {
                cool_downs,
                ..Faults::default()
            },
            1,
        );
        script.arrived(1, at_ms(0));
        assert_eq!(script.closed_for_us(at_ms(1)), None);
        script.arrived(2, at_ms(10));
        assert_eq!(script.closed_for_us(at_ms(20)), Some(90_000));
        script.arrived(3, at_ms(60));
        assert_eq!(script.closed_for_us(at_ms(159)), Some(1_000));
        assert_eq!(script.closed_for_us(at_ms(160)), None);
        assert_eq!(script.closed_us_between(at_ms(0), at_ms(1_000)), 150_000);
        assert_eq!(script.closed_us_between(at_ms(50), at_ms(70)), 20_000);
    }
}
