//! A connection's rules: what an operator and a connector fix for it.

use std::collections::HashMap;

use crate::domain::belt::BeltOnFailure;
use crate::domain::ids::{ConnectionId, SubscriptionId, TypeHash};

/// What an operator and a connector fix for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRules {
    pub connection: ConnectionId,
    pub subscription: SubscriptionId,
    /// The subscription's weight when subscriptions take turns; at least 1.
    pub weight: u32,
    /// Calls in preparation or in flight at once.
    pub max_calls: u32,
    /// Whether later belts start when an earlier one is not clean.
    pub belt_on_failure: BeltOnFailure,
    /// How jobs are packed, by object type.
    pub packing: HashMap<TypeHash, PackingRule>,
}

/// How jobs of one type are packed into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackingRule {
    /// Items in one call; at least 1.
    pub max_items: u32,
    /// Calls in flight at once; 0: no bound.
    pub max_in_flight: u32,
    /// How long a call that is not full may wait for more items.
    pub max_wait_ms: u64,
    /// One call may mix actions.
    pub mixed_actions: bool,
    /// Items in a full call as the connector declares it; `max_items` may be less.
    pub full_items: u32,
    /// Estimated requests of a full call; at least 1.
    pub requests_per_call: u32,
}

impl PackingRule {
    /// Each item takes a request of its own, so items gain nothing from sharing a call.
    pub const fn has_one_request_per_item(&self) -> bool {
        self.full_items > 1 && self.requests_per_call >= self.full_items
    }

    /// The same rule, if each item takes a request of its own.
    pub(super) fn with_one_request_per_item(self) -> Self {
        let full = self.full_items.max(self.max_items).max(2);
        Self {
            full_items: full,
            requests_per_call: self.requests_per_call.max(full),
            ..self
        }
    }

    /// Estimated requests of a call with this many items.
    pub fn requests(&self, items: usize) -> u32 {
        let full = self.requests_per_call.max(1);
        if !self.has_one_request_per_item() {
            return full;
        }
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let requests = items
            .saturating_mul(full.into())
            .div_ceil(self.full_items.into());
        u32::try_from(requests).unwrap_or(u32::MAX).clamp(1, full)
    }
}

impl Default for PackingRule {
    fn default() -> Self {
        Self {
            max_items: 1,
            max_in_flight: 0,
            max_wait_ms: 0,
            mixed_actions: false,
            full_items: 1,
            requests_per_call: 1,
        }
    }
}
