//! The arithmetic of limits: whether an arrival breaks a kind's definition, and when to come back.
//!
//! Every arrival counts, whatever its answer, so a client that goes on knocking goes on being
//! refused. All arithmetic is on whole numbers; nothing is rounded in anybody's favour.

use std::collections::VecDeque;

use crate::{clock::Stamp, scenario::Limit};

/// Microseconds in a millisecond.
const US_PER_MS: u64 = 1_000;
/// What a client is told to wait when too many of its calls are open: nobody knows when one ends.
const CONCURRENCY_WAIT_US: u64 = 100_000;
/// Below this many calls the use of a limit says nothing.
const USED_FROM_CALLS: u64 = 500;

/// One limit with what it has seen.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: Limit,
    state: State,
    requests: u64,
    exceeded: u64,
}

#[derive(Debug)]
enum State {
    /// `level` is in requests × `per_us`, so that one microsecond brings exactly `rate`. It is the
    /// least, over all stretches that end now, of what the stretch could still take; negative: the
    /// arrivals of some stretch were too many.
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
    /// A limit that has seen nothing.
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

    /// Counts an arrival. `in_flight` is the number of open calls with this one.
    ///
    /// Answers how many microseconds to wait if the arrival breaks the limit. Stamps must not run
    /// backwards.
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
                // The next one fits once all but `max - 1` of these have left the window.
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

    /// The arrivals that this limit counted.
    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    /// The arrivals that broke the definition.
    pub(crate) const fn exceeded(&self) -> u64 {
        self.exceeded
    }

    /// The arrivals as a share of what the rate would have let through in `open_us`, the time
    /// between the first and the last of them without scripted closures. None for concurrency,
    /// and as long as there were too few calls to tell.
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

/// What `requests` requests weigh in a bucket's units.
fn capacity(requests: u64, per_ms: u64) -> i128 {
    i128::from(requests) * i128::from(per_ms) * i128::from(US_PER_MS)
}

fn ceil_div(dividend: i128, divisor: i128) -> u64 {
    u64::try_from((dividend + divisor - 1) / divisor).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
