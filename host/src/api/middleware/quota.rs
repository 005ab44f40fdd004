//! The request quota of each caller, and the response headers that state it
//! (draft-ietf-httpapi-ratelimit-headers).
//!
//! A caller can send `quota_requests` as a burst; they refill evenly over `quota_window_ms`. Memory
//! holds only callers with recent requests: a caller whose quota is full again is forgotten.
//! Concurrent requests are limited in `concurrency.rs`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use egression_core::time::Mono;
use governor::clock::{Clock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::keyed_limit::Principal;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// The limiter's clock: the latest time that a request passed in.
#[derive(Clone, Debug, Default)]
struct Latest(Arc<AtomicU64>);

impl Clock for Latest {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub struct Quotas {
    requests: NonZeroU32,
    window_ms: u64,
    latest: Latest,
    limiter:
        RateLimiter<Principal, HashMapStateStore<Principal>, Latest, StateInformationMiddleware>,
    /// When idle callers were last forgotten, in microseconds.
    swept_us: AtomicU64,
}

/// The state of one caller's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    requests: u32,
    window_ms: u64,
    left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub state: QuotaState,
    /// Until the next request is admitted, in seconds, rounded up.
    pub retry_after_s: u64,
}

impl Quotas {
    /// `None` if there is no quota (0 requests).
    pub fn new(requests: u32, window_ms: u64, now: Mono) -> Option<Self> {
        let requests = NonZeroU32::new(requests)?;
        let quota = Quota::with_period(Duration::from_millis(window_ms) / requests.get())?
            .allow_burst(requests);
        let latest = Latest(Arc::new(AtomicU64::new(now.0)));
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), latest.clone());
        Some(Self {
            requests,
            window_ms,
            latest,
            limiter,
            swept_us: AtomicU64::new(now.0),
        })
    }

    /// Counts one request. Errors: the quota is used up.
    pub fn take(&self, principal: &Principal, now: Mono) -> Result<QuotaState, Exceeded> {
        self.latest.0.fetch_max(now.0, Ordering::Relaxed);
        self.forget(now);
        let state = |left| QuotaState {
            requests: self.requests.get(),
            window_ms: self.window_ms,
            left,
        };
        match self.limiter.check_key(principal) {
            Ok(snapshot) => Ok(state(snapshot.remaining_burst_capacity())),
            Err(until) => {
                let wait = until
                    .earliest_possible()
                    .duration_since(self.latest.now())
                    .as_u64();
                Err(Exceeded {
                    state: state(0),
                    retry_after_s: wait.div_ceil(1_000_000_000).max(1),
                })
            }
        }
    }

    /// Forgets the callers whose quota is full, once per window.
    fn forget(&self, now: Mono) {
        let swept_us = self.swept_us.load(Ordering::Relaxed);
        let is_due = now.0.saturating_sub(swept_us) >= self.window_ms.saturating_mul(1000);
        if is_due
            && self
                .swept_us
                .compare_exchange(swept_us, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }
}

impl QuotaState {
    /// Writes the response headers: the policy, the remaining requests, and the seconds until the
    /// quota is full.
    pub fn write(self, headers: &mut HeaderMap) {
        let Self {
            requests,
            window_ms,
            left,
        } = self;
        let used = u64::from(requests - left.min(requests));
        let back_s = (used * window_ms).div_ceil(u64::from(requests.max(1)) * 1000);
        for (name, text) in [
            (
                POLICY,
                format!("\"default\";q={requests};w={}", window_ms.div_ceil(1000)),
            ),
            (LEFT, format!("\"default\";r={left};t={back_s}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use egression_core::domain::ids::SubscriptionId;

    use super::*;

    const START: Mono = Mono(1_000_000_000);

    fn principal(number: i64) -> Principal {
        Principal::Subscription(SubscriptionId(number))
    }

    #[test]
    fn quota_refills_evenly() {
        let quotas = Quotas::new(4, 8000, START).unwrap();
        let left: Vec<u32> = (0..4)
            .map(|_| quotas.take(&principal(1), START).unwrap().left)
            .collect();
        assert_eq!(left, [3, 2, 1, 0]);
        let exceeded = quotas.take(&principal(1), START).unwrap_err();
        assert_eq!(exceeded.retry_after_s, 2);
        assert_eq!(
            quotas.take(&principal(2), START).unwrap().left,
            3,
            "each caller has its own"
        );
        assert_eq!(
            quotas
                .take(&principal(1), START.plus_ms(1999))
                .unwrap_err()
                .retry_after_s,
            1
        );
        let state = quotas.take(&principal(1), START.plus_ms(2000)).unwrap();
        let mut headers = HeaderMap::new();
        state.write(&mut headers);
        assert_eq!(
            (&headers[POLICY], &headers[LEFT]),
            (
                &"\"default\";q=4;w=8".parse().unwrap(),
                &"\"default\";r=0;t=8".parse().unwrap()
            )
        );
        assert!(Quotas::new(0, 8000, START).is_none(), "0 is off");
    }

    #[test]
    fn quota_forgets_callers_with_a_full_quota() {
        let quotas = Quotas::new(10, 1000, START).unwrap();
        for number in 0..1000 {
            quotas.take(&principal(number), START).unwrap();
        }
        assert_eq!(quotas.limiter.len(), 1000);
        quotas.take(&principal(5000), START.plus_ms(1500)).unwrap();
        assert_eq!(quotas.limiter.len(), 1);
    }
}
