//! A lane: the loaded window of one execution's ready jobs on one connection, belt and priority.

use std::collections::BTreeMap;

use super::head::{Head, Kind};
use crate::domain::ids::JobSeq;
use crate::time::Mono;

/// The window of a lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Loaded heads by kind, each in order.
    kinds: BTreeMap<Kind, BTreeMap<(i64, JobSeq), Head>>,
    loaded: usize,
    /// The store is read up to here.
    pub(super) cursor: Option<JobSeq>,
    /// The store is read to its end.
    pub(super) exhausted: bool,
    /// A read is under way.
    pub(super) loading: bool,
    /// Jobs read that stand behind another job of their key.
    pub(super) held: u64,
    /// When the oldest loaded head of the window came; a call that is not full waits from then.
    pub(super) filling_since: Option<Mono>,
}

impl Lane {
    /// A lane that is not read: what belongs to it comes up by itself.
    pub(super) fn read_through() -> Self {
        Self { exhausted: true, ..Self::default() }
    }

    pub(super) fn insert(&mut self, head: Head, now: Mono) {
        if self.kinds.entry(head.kind()).or_default().insert(head.place(), head).is_none() {
            self.loaded += 1;
        }
        self.filling_since.get_or_insert(now);
    }

    pub(super) fn remove(&mut self, head: &Head) -> bool {
        let kind = head.kind();
        let Some(heads) = self.kinds.get_mut(&kind) else { return false };
        let removed = heads.remove(&head.place()).is_some();
        if heads.is_empty() {
            self.kinds.remove(&kind);
        }
        if removed {
            self.loaded -= 1;
        }
        if self.loaded == 0 {
            self.filling_since = None;
        }
        removed
    }

    pub(super) const fn len(&self) -> usize {
        self.loaded
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.loaded == 0
    }

    /// The oldest head of any kind that `usable` allows.
    pub(super) fn first(&self, usable: impl Fn(Kind) -> bool) -> Option<Head> {
        self.kinds
            .iter()
            .filter(|(kind, _)| usable(**kind))
            .filter_map(|(_, heads)| heads.first_key_value())
            .min_by_key(|(place, _)| **place)
            .map(|(_, head)| *head)
    }

    /// The oldest head of a type, of one action unless actions may be mixed.
    pub(super) fn first_of(&self, kind: Kind, mixed_actions: bool) -> Option<Head> {
        self.first(|k| k.type_hash == kind.type_hash && (mixed_actions || k.action == kind.action))
    }

    /// How many heads of a type are loaded.
    pub(super) fn count_of(&self, kind: Kind, mixed_actions: bool) -> usize {
        self.kinds
            .iter()
            .filter(|(k, _)| k.type_hash == kind.type_hash && (mixed_actions || k.action == kind.action))
            .map(|(_, heads)| heads.len())
            .sum()
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = &Head> {
        self.kinds.values().flat_map(BTreeMap::values)
    }
}
