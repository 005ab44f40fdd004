//! What admission planned and the gate did not send yet, by limit.

use std::collections::HashMap;

use egression_core::scheduler::limits::LimitKey;

/// Requests that are planned and not sent. A concurrency limit counts their calls instead: a call
/// that sends one request after the other needs one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    pub requests: u32,
    /// Calls that sent no request yet.
    pub calls: u32,
}

impl Reserved {
    /// One call with this many requests; nothing for 0.
    pub fn call(requests: u32) -> Self {
        Self {
            requests,
            calls: requests.min(1),
        }
    }

    pub const fn add(&mut self, more: Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.calls = self.calls.saturating_add(more.calls);
    }

    pub const fn remove(&mut self, less: Self) {
        self.requests = self.requests.saturating_sub(less.requests);
        self.calls = self.calls.saturating_sub(less.calls);
    }

    pub fn at_most(self, most: Self) -> Self {
        Self {
            requests: self.requests.min(most.requests),
            calls: self.calls.min(most.calls),
        }
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Requests reserved for one call.
#[derive(Debug, Default)]
pub struct Reservation {
    pub keys: Vec<LimitKey>,
    pub left: Reserved,
}

/// All reservations, by limit.
#[derive(Debug, Default)]
pub struct Reservations(HashMap<LimitKey, Reserved>);

impl Reservations {
    pub fn of(&self, key: &LimitKey) -> Reserved {
        self.0.get(key).copied().unwrap_or_default()
    }

    pub fn add(&mut self, keys: &[LimitKey], more: Reserved) {
        for key in keys.iter().filter(|_| !more.is_empty()) {
            self.0.entry(key.clone()).or_default().add(more);
        }
    }

    pub fn remove(&mut self, keys: &[LimitKey], less: Reserved) {
        for key in keys {
            if let Some(reserved) = self.0.get_mut(key) {
                reserved.remove(less);
                if reserved.is_empty() {
                    self.0.remove(key);
                }
            }
        }
    }
}
