//! A channel's rules for further attempts.

use serde::{Deserialize, Serialize};

use super::backoff::{Backoff, Jitter};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryRules {
    /// Attempts in all, the first included; at least 1.
    pub attempts: u32,
    /// The first backoff's upper bound in milliseconds.
    pub base_ms: u64,
    /// The largest backoff in milliseconds.
    pub max_ms: u64,
    /// Treated as transient: problem codes, destination codes, statuses (`503`) and classes
    /// (`5xx`).
    pub retry_on: Vec<String>,
    pub reject_on: Vec<String>,
    pub success_on: Vec<String>,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 8,
            base_ms: 1000,
            max_ms: 900_000,
            retry_on: Vec::new(),
            reject_on: Vec::new(),
            success_on: Vec::new(),
        }
    }
}

impl RetryRules {
    /// The wait before the attempt that follows attempt number `spent` (from 1), never before
    /// `retry_after_ms`. `random` is uniform in 0..1 and drawn once per call, so that a batch stays
    /// together.
    pub fn backoff_ms(&self, spent: u32, retry_after_ms: Option<u64>, random: f64) -> u64 {
        let backoff = Backoff {
            base_ms: self.base_ms,
            max_ms: self.max_ms,
            jitter: Jitter::Full,
        };
        backoff
            .wait_ms(spent, random)
            .max(retry_after_ms.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_honors_retry_after() {
        let rules = RetryRules {
            base_ms: 100,
            max_ms: 1000,
            ..RetryRules::default()
        };
        assert_eq!(rules.backoff_ms(1, None, 1.0), 100);
        assert_eq!(rules.backoff_ms(3, None, 1.0), 400);
        assert_eq!(rules.backoff_ms(30, None, 1.0), 1000);
        assert_eq!(rules.backoff_ms(1, Some(5000), 0.0), 5000);
    }
}
