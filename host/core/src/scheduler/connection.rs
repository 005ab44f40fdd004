//! One connection's side of admission: its rules, its jobs in memory, and its calls in flight.

use std::collections::{HashMap, HashSet};

use super::availability::{Availability, Blocked};
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
    /// Types whose calls were seen to send a request for each item, whatever the rules say.
    one_request_per_item: HashSet<TypeHash>,
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
            one_request_per_item: HashSet::new(),
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

    /// Calls of this type in flight.
    pub(super) fn calls_of(&self, type_hash: TypeHash) -> u32 {
        self.calls_of_type.get(&type_hash).copied().unwrap_or(0)
    }

    pub(super) fn packing(&self, type_hash: TypeHash) -> PackingRule {
        let rule = self
            .rules
            .packing
            .get(&type_hash)
            .copied()
            .unwrap_or_default();
        if self.one_request_per_item.contains(&type_hash) {
            rule.with_one_request_per_item()
        } else {
            rule
        }
    }

    /// A call of several items sent this many requests that write. A connector's settings may
    /// decide how it sends, so its manifest does not tell.
    pub(super) fn sent(&mut self, type_hash: TypeHash, items: u32, requests: u32) {
        if items < 2 {
            return;
        }
        if requests >= items {
            self.one_request_per_item.insert(type_hash);
        } else if requests <= items / 2 {
            self.one_request_per_item.remove(&type_hash);
        }
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
