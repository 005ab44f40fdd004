//! A lane: the loaded window of one execution's ready jobs on one connection, belt and priority.

use std::collections::BTreeMap;

use super::read_queue::Ticket;
use crate::domain::ids::JobSeq;
use crate::scheduler::head::{Head, Kind};

/// The window of a lane.
#[derive(Debug, Default)]
pub struct Lane {
    /// Loaded heads by kind, each in order.
    kinds: BTreeMap<Kind, BTreeMap<(i64, JobSeq), Head>>,
    loaded: usize,
    /// The lane is read up to this job.
    pub cursor: Option<JobSeq>,
    /// The lane is read to its end.
    pub exhausted: bool,
    /// The read queue counts it as a lane that is not read to its end.
    pub counted: bool,
    /// A read is in flight.
    pub loading: bool,
    /// It is to be read from its start again once the read in flight is answered.
    pub restarting: bool,
    /// Its place among the lanes that wait to be read.
    pub ticket: Option<Ticket>,
    /// Its turn among the lanes of its priority: the smallest goes next.
    pub turn: u64,
    /// Jobs read that are behind another job of their key.
    pub held: u64,
}

impl Lane {
    /// A lane that needs no reading: its heads are reported.
    pub fn read_through() -> Self {
        Self {
            exhausted: true,
            ..Self::default()
        }
    }

    /// Loads a head. True: it is the first of its kind.
    pub fn insert(&mut self, head: Head) -> bool {
        let heads = self.kinds.entry(head.kind()).or_default();
        if heads.insert(head.place(), head).is_none() {
            self.loaded += 1;
        }
        heads.len() == 1
    }

    /// Takes a loaded head out. True: it was the last of its kind.
    pub fn remove(&mut self, head: &Head) -> bool {
        let kind = head.kind();
        let Some(heads) = self.kinds.get_mut(&kind) else {
            return false;
        };
        if heads.remove(&head.place()).is_some() {
            self.loaded -= 1;
        }
        let last = heads.is_empty();
        if last {
            self.kinds.remove(&kind);
        }
        last
    }

    pub const fn len(&self) -> usize {
        self.loaded
    }

    pub const fn is_empty(&self) -> bool {
        self.loaded == 0
    }

    /// The oldest loaded head among these kinds.
    pub fn first_of(&self, kinds: &[Kind]) -> Option<Head> {
        kinds
            .iter()
            .filter_map(|kind| self.kinds.get(kind)?.first_key_value())
            .min_by_key(|(place, _)| **place)
            .map(|(_, head)| *head)
    }

    /// The kinds of its loaded heads.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.kinds.keys().copied()
    }

    /// Makes it be read from its start again: jobs before the cursor may have become heads.
    pub fn restart(&mut self) {
        self.restarting = self.loading;
        self.cursor = None;
        self.exhausted = false;
        self.held = 0;
    }
}
