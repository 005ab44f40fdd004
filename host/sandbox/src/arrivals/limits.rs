//! Judges limits: whether an arrival breaks the definition of a limit, and how long to wait.
//!
//! Every arrival counts, including refused ones, so a client that keeps calling is refused again.
//! The arithmetic uses integers only, so that nothing is rounded.

use std::collections::VecDeque;

use crate::{clock::Stamp, scenario::Limit};

const US_PER_MS: u64 = 1_000;
/// The wait that the shop suggests when too many calls are open. It cannot know when one ends.
const CONCURRENCY_WAIT_US: u64 = 100_000;
/// With fewer calls the usage of a limit means nothing.
const USED_FROM_CALLS: u64 = 500;

/// One limit with its state and its counts.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: Limit,
    state: State,
    requests: u64,
    exceeded: u64,
}

#[derive(Debug)]
enum State {
    /// `level` is in requests × `per_us`, so that one microsecond adds exactly `rate`. It is the
    /// smallest remaining capacity of all intervals that end now. If it is negative, some interval
    /// had too many arrivals.
    Bucket {
        level: i128,
        last: Option<Stamp>,
    },
    /// The arrivals of the last window, oldest first.
    Window {
        arrivals: VecDeque<Stamp>,
    },
    Concurrency,
}

impl Meter {
    pub(crate) fn new(limit: Limit) -> Self {
        let state = match limit {
            Limit::TokenBucket { per_ms, burst, .. } => State::Bucket {
                level: capacity(burst, per_ms),
                last: None,
            },
            Limit::Window { .. } => State::Window {
                arrivals: VecDeque::new(),
            },
            Limit::Concurrency { .. } => State::Concurrency,
        };
        Self {
            limit,
            state,
            requests: 0,
            exceeded: 0,
        }
    }

    /// Counts an arrival. `in_flight` is the number of open calls, including this one.
    ///
    /// If the arrival breaks the limit, returns the microseconds to wait. Stamps must not decrease.
    pub(crate) fn arrive(&mut self, at: Stamp, in_flight: u64) -> Option<u64> {
        self.requests += 1;
        let wait_us = match (&self.limit, &mut self.state) {
            (
                &Limit::TokenBucket {
                    rate,
                    per_ms,
                    burst,
                },
                State::Bucket { level, last },
            ) => {
                let rested_us = last.map_or(0, |last| at.us_since(last));
                let refill = i128::from(rate) * i128::from(rested_us);
                let cost = capacity(1, per_ms);
                *last = Some(at);
                *level = (*level + refill).min(capacity(burst, per_ms)) - cost;
                (*level < 0).then(|| ceil_div(cost - *level, i128::from(rate)))
            }
            (&Limit::Window { max, window_ms }, State::Window { arrivals }) => {
                let window_us = window_ms.saturating_mul(US_PER_MS);
                while arrivals
                    .front()
                    .is_some_and(|&first| at.us_since(first) >= window_us)
                {
                    arrivals.pop_front();
                }
                arrivals.push_back(at);
                let kept = arrivals.len() as u64;
                // The next arrival fits when all but `max - 1` of these have left the window.
                (kept > max)
                    .then(|| arrivals.get((kept - max) as usize))
                    .flatten()
                    .map(|leaves| leaves.plus_us(window_us).us_since(at))
            }
            (&Limit::Concurrency { max }, _) => (in_flight > max).then_some(CONCURRENCY_WAIT_US),
            _ => None,
        };
        self.exceeded += u64::from(wait_us.is_some());
        wait_us
    }

    pub(crate) const fn limit(&self) -> &Limit {
        &self.limit
    }

    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    /// The arrivals that broke the limit.
    pub(crate) const fn exceeded(&self) -> u64 {
        self.exceeded
    }

    /// The arrivals as a share of the number that the rate allows in `open_us`, the time between
    /// the first and the last arrivals without scripted cool-downs. None for concurrency and for
    /// too few calls.
    pub(crate) fn used(&self, open_us: u64) -> Option<f64> {
        let (requests, per_ms) = match self.limit {
            Limit::TokenBucket { rate, per_ms, .. } => (rate, per_ms),
            Limit::Window { max, window_ms } => (max, window_ms),
            Limit::Concurrency { .. } => return None,
        };
        if self.requests < USED_FROM_CALLS || open_us == 0 {
            return None;
        }
        let possible = requests as f64 * open_us as f64 / (per_ms.saturating_mul(US_PER_MS)) as f64;
        Some(self.requests as f64 / possible)
    }
}

/// `requests` in a bucket's units.
fn capacity(requests: u64, per_ms: u64) -> i128 {
    i128::from(requests) * i128::from(per_ms) * i128::from(US_PER_MS)
}

fn ceil_div(dividend: i128, divisor: i128) -> u64 {
    u64::try_from((dividend + divisor - 1) / divisor).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
