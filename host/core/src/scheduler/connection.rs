//! One connection's side of admission: its rules, its jobs in memory, and its calls in flight.

use std::collections::HashMap;

use super::blocked::{Availability, Blocked};
use super::memory::Window;
use super::rules::{ConnectionRules, PackingRule};
use crate::domain::ids::{JobSeq, TypeHash};
use crate::time::Mono;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) rules: ConnectionRules,
    pub(super) availability: Availability,
    /// It was removed. Its calls in flight are still counted until they end.
    pub(super) removed: bool,
    pub(super) window: Window,
    /// Jobs that must go in smaller calls, because a call with them made no progress.
    pub(super) call_caps: HashMap<JobSeq, u32>,
    /// Calls in flight, in all and by type.
    pub(super) calls: u32,
    pub(super) calls_of_type: HashMap<TypeHash, u32>,
    pub(super) picks: u64,
    /// Why no further call started, as of the last try.
    pub(super) blocked: Option<Blocked>,
    /// When to try again although nothing happened.
    pub(super) timer: Option<Mono>,
}

impl Connection {
    pub(super) fn new(rules: ConnectionRules, window: usize) -> Self {
        Self {
            rules,
            availability: Availability::Open,
            removed: false,
            window: Window::new(window),
            call_caps: HashMap::new(),
            calls: 0,
            calls_of_type: HashMap::new(),
            picks: 0,
            blocked: None,
            timer: None,
        }
    }

    /// Takes over new rules.
    pub(super) fn adopt(&mut self, rules: ConnectionRules, low_water: usize) {
        let largest_call = rules
            .packing
            .values()
            .map(|rule| rule.max_items as usize)
            .max()
            .unwrap_or(1);
        self.rules = rules;
        self.window.set_low_water(low_water, largest_call);
    }

    pub(super) fn packing(&self, type_hash: TypeHash) -> PackingRule {
        self.rules
            .packing
            .get(&type_hash)
            .copied()
            .unwrap_or_default()
    }

    /// It has loaded heads and may be used.
    pub(super) fn has_candidates(&self) -> bool {
        self.window.loaded > 0 && self.availability == Availability::Open
    }

    /// Nothing of a removed connection is in flight any more.
    pub(super) const fn is_over(&self) -> bool {
        self.removed && self.calls == 0 && self.window.read_queue.in_flight() == 0
    }
}
