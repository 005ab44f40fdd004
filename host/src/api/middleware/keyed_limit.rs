//! A limit on what one caller holds at once, so that no caller takes everything from the others.
//!
//! The API keys of one subscription share one limit, because an admin key of that subscription can
//! create any number of keys. Limits over all callers are in `concurrency.rs` and `submit.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::ids::SubscriptionId;
use parking_lot::Mutex;

/// Who a request counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// All keys that are bound to this subscription.
    Subscription(SubscriptionId),
    /// One key that is not bound to a subscription, by its public id.
    Key(String),
}

#[derive(Debug)]
pub struct KeyedLimit {
    max: u32,
    held: Mutex<HashMap<Principal, u32>>,
}

/// Returned to the limit when it is dropped.
#[derive(Debug)]
pub struct Permit {
    limit: Arc<KeyedLimit>,
    principal: Principal,
}

impl KeyedLimit {
    /// `max`: permits that one principal can hold at once.
    pub fn new(max: u32) -> Arc<Self> {
        Arc::new(Self {
            max,
            held: Mutex::default(),
        })
    }

    /// `None` while the principal holds all of its permits.
    pub fn acquire(self: &Arc<Self>, principal: Principal) -> Option<Permit> {
        let mut held = self.held.lock();
        if held.get(&principal).copied().unwrap_or(0) >= self.max {
            return None;
        }
        *held.entry(principal.clone()).or_insert(0) += 1;
        drop(held);
        Some(Permit {
            limit: Arc::clone(self),
            principal,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut held = self.limit.held.lock();
        if let Some(count) = held.get_mut(&self.principal) {
            *count -= 1;
            // Memory does not grow with the keys that were ever seen.
            if *count == 0 {
                held.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn keyed_limit_counts_per_principal_and_forgets_idle_ones() {
        let limit = KeyedLimit::new(2);
        let own = || limit.acquire(Principal::Subscription(SubscriptionId(1)));
        let held = (own().unwrap(), own().unwrap());
        assert!(own().is_none());
        assert!(limit.acquire(Principal::Key("key_1".into())).is_some());
        drop(held.0);
        assert!(own().is_some());
        drop(held.1);
        assert!(
            limit.held.lock().is_empty(),
            "idle principals are forgotten"
        );
    }
}
