//! When to leave a failing remote alone, and when to probe it.
//!
//! A breaker is closed, open or half-open. Closed, everything passes. Open, nothing passes until an
//! instant that moves away with each failure. Half-open, one probe is out; its outcome closes the
//! breaker or opens it again.

use super::backoff::Backoff;
use crate::time::Mono;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Mono,
        /// The latest end of the probe that is out; `None`: no probe is out.
        probe_ends: Option<Mono>,
    },
}

/// A circuit breaker. The caller reports every outcome and asks before it sends.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    /// Failures in a row after which it opens.
    opens_after: u32,
    backoff: Backoff,
    /// Failures in a row, failed probes included.
    failures: u32,
    state: State,
}

impl CircuitBreaker {
    /// A closed breaker that opens after `opens_after` failures in a row.
    pub const fn new(opens_after: u32, backoff: Backoff) -> Self {
        Self {
            opens_after,
            backoff,
            failures: 0,
            state: State::Closed,
        }
    }

    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether a request that ends by `ends` may go now. Once the open time is over, one request
    /// passes as the probe.
    ///
    /// # Errors
    /// With the instant at which to ask again, if nothing may go now.
    pub fn try_pass(&mut self, now: Mono, ends: Mono) -> Result<(), Mono> {
        match &mut self.state {
            State::Closed => Ok(()),
            State::Open { until, .. } if now < *until => Err(*until),
            State::Open {
                probe_ends: Some(ends),
                ..
            } if now < *ends => Err(*ends),
            State::Open { probe_ends, .. } => {
                *probe_ends = Some(ends);
                Ok(())
            }
        }
    }

    /// A request succeeded: the breaker closes and forgets all failures.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.state = State::Closed;
    }

    /// The probe was not sent: the next request may be the probe.
    pub const fn probe_withdrawn(&mut self) {
        if let State::Open { probe_ends, .. } = &mut self.state {
            *probe_ends = None;
        }
    }

    /// A request failed. Returns when the next one makes sense, `retry_after_ms` from now at the
    /// earliest; a remote that names this time opens the breaker at once. `random` is uniform in
    /// 0..1.
    pub fn failed(&mut self, now: Mono, retry_after_ms: Option<u64>, random: f64) -> Mono {
        self.failures = self.failures.saturating_add(1);
        let wait_ms = self.backoff.wait_ms(self.failures, random);
        let until = now.plus_ms(wait_ms.max(retry_after_ms.unwrap_or(0)));
        if self.is_open() || self.failures >= self.opens_after || retry_after_ms.is_some() {
            self.state = State::Open {
                until,
                probe_ends: None,
            };
        }
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backoff::Jitter;

    const NOW: Mono = Mono(0);

    fn breaker(opens_after: u32) -> CircuitBreaker {
        CircuitBreaker::new(
            opens_after,
            Backoff {
                base_ms: 100,
                max_ms: 300,
                jitter: Jitter::None,
            },
        )
    }

    #[test]
    fn breaker_opens_after_failures_in_a_row_and_lets_one_probe_pass() {
        let mut breaker = breaker(2);
        breaker.failed(NOW, None, 0.0);
        assert_eq!(breaker.try_pass(NOW, NOW.plus_ms(10_000)), Ok(()));
        let until = breaker.failed(NOW, None, 0.0);
        assert_eq!(until, NOW.plus_ms(200));
        let ends = until.plus_ms(10_000);
        assert_eq!(breaker.try_pass(NOW, ends), Err(until));
        assert_eq!(breaker.try_pass(until, ends), Ok(()));
        assert_eq!(
            breaker.try_pass(until, ends.plus_ms(5)),
            Err(ends),
            "one probe at a time"
        );
        breaker.probe_withdrawn();
        assert_eq!(breaker.try_pass(until, ends), Ok(()), "the next one probes");
        breaker.succeeded();
        assert_eq!(breaker.try_pass(until, ends), Ok(()));
        assert!(!breaker.is_open());
    }

    #[test]
    fn failed_probe_opens_the_breaker_for_longer() {
        let mut breaker = breaker(1);
        let mut until = NOW;
        for wait_ms in [100, 200, 300, 300] {
            let now = until;
            assert_eq!(breaker.try_pass(now, now.plus_ms(1)), Ok(()));
            until = breaker.failed(now, None, 0.0);
            assert_eq!(until, now.plus_ms(wait_ms));
            assert_eq!(breaker.try_pass(now, now.plus_ms(1)), Err(until));
        }
    }

    #[test]
    fn success_forgets_earlier_failures() {
        let mut breaker = breaker(2);
        breaker.failed(NOW, None, 0.0);
        breaker.succeeded();
        breaker.failed(NOW, None, 0.0);
        assert!(!breaker.is_open());
    }

    #[test]
    fn retry_after_opens_the_breaker_at_once() {
        let mut breaker = breaker(5);
        let until = breaker.failed(NOW, Some(7000), 0.0);
        assert_eq!(until, NOW.plus_ms(7000));
        assert_eq!(breaker.try_pass(NOW, until), Err(until));
    }
}
