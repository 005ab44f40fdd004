//! All limits of a node by name: their definitions, closures and observations.

use std::collections::HashMap;

use super::kind::{Guard, LimitKey, LimitKind};
use super::limit::Limit;
use super::observation::exhausted_until;
use crate::time::{Mono, WallOffset};

/// The limits and closures by key. A key that is neither defined nor closed admits everything.
#[derive(Debug, Default)]
pub struct LimitBook {
    pub(super) limits: HashMap<LimitKey, Entry>,
    pub(super) closed: HashMap<LimitKey, Mono>,
    /// The latest instant seen; an earlier `now` counts as this.
    pub(super) latest: Mono,
    generations: u64,
    offset: WallOffset,
}

#[derive(Debug)]
pub(super) struct Entry {
    kind: LimitKind,
    guard: Guard,
    pub(super) limit: Limit,
    /// Distinguishes the slots of this entry from those of an earlier one of the same key.
    pub(super) generation: u64,
}

impl LimitBook {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how wall time relates to the monotonic clock. Fixed windows begin by it. Before the
    /// first call, both clocks count as one.
    pub fn set_wall(&mut self, offset: WallOffset) {
        self.offset = offset;
        for entry in self.limits.values_mut() {
            entry.limit.set_offset(offset);
        }
    }

    /// Defines a limit. The same definition again changes nothing. Other sizes of the same kind
    /// keep its uses (a bucket's level is cut to the new capacity), and so does a window that
    /// becomes a window of the other kind. A new limit or another kind starts as if it were used
    /// up: a bucket is empty, an interval has just begun. A window starts without uses; see
    /// [`Self::restore_window`].
    pub fn define(&mut self, key: LimitKey, kind: LimitKind, guard: Guard, now: Mono) {
        let now = self.pass(now);
        if let Some(entry) = self.limits.get_mut(&key) {
            if entry.kind == kind && entry.guard == guard {
                return;
            }
            if entry.limit.reshape(kind, guard, now, self.offset) {
                (entry.kind, entry.guard) = (kind, guard);
                return;
            }
        }
        self.generations += 1;
        let entry = Entry {
            kind,
            guard,
            limit: Limit::new(kind, guard, now, self.offset),
            generation: self.generations,
        };
        self.limits.insert(key, entry);
    }

    /// Forgets a limit. A closure of the key stays.
    pub fn undefine(&mut self, key: &LimitKey) {
        self.limits.remove(key);
    }

    /// Adds past uses to a window, each with its count. Does nothing if `key` is not a window.
    pub fn restore_window(&mut self, key: &LimitKey, uses: &[(Mono, u64)]) {
        match self.limits.get_mut(key).map(|entry| &mut entry.limit) {
            Some(Limit::Window(window)) => window.restore(uses),
            Some(Limit::Fixed(fixed)) => fixed.restore(uses),
            _ => {}
        }
    }

    /// Closes a key until then, defined or not. A closure is never shortened.
    pub fn close(&mut self, key: LimitKey, until: Mono) {
        let latest = self.latest;
        self.closed.retain(|_, end| *end > latest);
        let end = self.closed.entry(key).or_default();
        *end = until.max(*end);
    }

    /// Ends a closure at this instant if it would last longer.
    pub fn close_no_longer(&mut self, key: &LimitKey, until: Mono) {
        if let Some(end) = self.closed.get_mut(key) {
            *end = until.min(*end);
        }
    }

    /// Ends a closure, and forgets what the destination reported about the limit.
    pub fn reopen(&mut self, key: &LimitKey, now: Mono) {
        let now = self.pass(now);
        self.closed.remove(key);
        if let Some(entry) = self.limits.get_mut(key) {
            entry.limit.reopen(now);
        }
    }

    /// The longest closure among `keys`.
    pub fn closed(&self, keys: &[LimitKey], now: Mono) -> Option<(LimitKey, Mono)> {
        let now = now.max(self.latest);
        let ends = keys
            .iter()
            .filter_map(|key| self.closed.get(key).map(|end| (key, *end)));
        ends.filter(|(_, end)| *end > now)
            .max_by_key(|(_, end)| *end)
            .map(|(key, end)| (key.clone(), end))
    }

    /// Takes over the destination's report of a limit if it is tighter than the host's own count.
    /// A report never widens a limit. `limit` is the size (0 counts as not given), `remaining` the
    /// requests left, and `reset_ms` the time until all are available again. No report counts for
    /// longer than `most_ms`, nor in a window for longer than the window. If nothing remains of a
    /// key that is not defined, the key is closed until the reset.
    pub fn observe(
        &mut self,
        key: &LimitKey,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        most_ms: u64,
        now: Mono,
    ) {
        let now = self.pass(now);
        if let Some(entry) = self.limits.get_mut(key) {
            entry
                .limit
                .observe(limit, remaining, reset_ms, most_ms, now);
        } else if let Some(until) = exhausted_until(remaining, reset_ms, most_ms, now) {
            self.close(key.clone(), until);
        }
    }

    pub(super) fn pass(&mut self, now: Mono) -> Mono {
        self.latest = self.latest.max(now);
        self.latest
    }
}
