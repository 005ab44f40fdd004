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
    /// Estimated requests of a full call; at least 1.
    pub requests_per_call: u32,
}

impl Default for PackingRule {
    fn default() -> Self {
        Self {
            max_items: 1,
            max_in_flight: 0,
            max_wait_ms: 0,
            mixed_actions: false,
            requests_per_call: 1,
        }
    }
}
