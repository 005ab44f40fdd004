//! Backoff between attempts.

use serde::{Deserialize, Serialize};

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
    /// The wait before the attempt that follows attempt number `spent` (from 1): exponential with
    /// full jitter, never before `retry_after_ms`. `draw` is uniform in 0..1 and drawn once per
    /// call, so that a batch stays together.
    #[must_use]
    pub fn backoff_ms(&self, spent: u32, retry_after_ms: Option<u64>, draw: f64) -> u64 {
        let doublings = spent.saturating_sub(1).min(40);
        let ceiling = self.base_ms.saturating_mul(1 << doublings).min(self.max_ms);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a jitter need not be exact"
        )]
        let jittered = (ceiling as f64 * draw.clamp(0.0, 1.0)) as u64;
        jittered.max(retry_after_ms.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap_and_honours_retry_after() {
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
