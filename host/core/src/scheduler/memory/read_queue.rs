//! Which lane of a connection is read next.
//!
//! There are two queues. Empty lanes are read while the connection's window has room: the highest
//! priority first and then in the order of arrival; every tenth read ignores priority. Lanes that
//! run low are refilled while less than half of the window is used, and each loads at most its
//! share of that half. So a new execution finds room however many large ones are in progress.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use crate::scheduler::head::LaneKey;

/// The fewest heads that a lane may load, however many lanes there are.
const LEAST_SHARE: usize = 4;
/// Every n-th read takes the lane that has waited longest, whatever its priority.
const IGNORES_PRIORITY: u64 = 10;

/// A lane's place in the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    priority: ReadPriority,
    number: u64,
}

/// How urgently a lane needs a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPriority {
    /// It has no loaded heads.
    Empty,
    /// It has fewer loaded heads than the low-water mark.
    Low,
}

/// The queues, and the reads in flight.
#[derive(Debug, Default)]
pub struct ReadQueue {
    empty: BTreeMap<u64, LaneKey>,
    urgent: BTreeMap<(Reverse<i8>, u64), LaneKey>,
    /// Empty lanes that were read.
    served: u64,
    low: BTreeMap<u64, LaneKey>,
    tickets: u64,
    /// Lanes that are not read to their end.
    unread: usize,
    in_flight: usize,
    answered: u64,
    /// Lanes that were dropped during a read. The answer is ignored, and a new lane of this key is
    /// read only after it.
    orphaned: HashSet<LaneKey>,
}

impl ReadQueue {
    /// Puts a lane into the queue of its priority, or takes it out; keeps its place if nothing
    /// changed.
    pub fn queue(
        &mut self,
        key: LaneKey,
        before: Option<Ticket>,
        priority: Option<ReadPriority>,
    ) -> Option<Ticket> {
        if before.map(|ticket| ticket.priority) == priority {
            return before;
        }
        if let Some(ticket) = before {
            self.of(ticket.priority).remove(&ticket.number);
            if ticket.priority == ReadPriority::Empty {
                self.urgent.remove(&(Reverse(key.priority), ticket.number));
            }
        }
        let priority = priority?;
        self.tickets += 1;
        let number = self.tickets;
        self.of(priority).insert(number, key);
        if priority == ReadPriority::Empty {
            self.urgent.insert((Reverse(key.priority), number), key);
        }
        Some(Ticket { priority, number })
    }

    /// The next lane to read, if the window has room for one more page.
    pub fn next(&mut self, loaded: usize, window: usize, page: usize) -> Option<LaneKey> {
        let expected = loaded + self.in_flight * page.max(1);
        let empty = (expected < window.max(1))
            .then(|| self.next_empty())
            .flatten();
        let key = empty.or_else(|| {
            (expected < window / 2)
                .then(|| self.low.pop_first())
                .flatten()
                .map(|(_, key)| key)
        })?;
        self.in_flight += 1;
        Some(key)
    }

    fn next_empty(&mut self) -> Option<LaneKey> {
        let number = if (self.served + 1).is_multiple_of(IGNORES_PRIORITY) {
            *self.empty.first_key_value()?.0
        } else {
            self.urgent.first_key_value()?.0.1
        };
        let key = self.empty.remove(&number)?;
        self.urgent.remove(&(Reverse(key.priority), number));
        self.served += 1;
        Some(key)
    }

    /// A read was answered. False: the lane was dropped after the read began, so the answer does
    /// not count.
    pub fn answered(&mut self, key: LaneKey) -> bool {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.answered += 1;
        !self.orphaned.remove(&key)
    }

    /// Counts a lane that is not read to its end, or stops counting it.
    pub const fn count(&mut self, unread: bool) {
        self.unread = if unread {
            self.unread + 1
        } else {
            self.unread.saturating_sub(1)
        };
    }

    /// The most heads that one lane loads from its pages.
    pub fn share(&self, window: usize) -> usize {
        (window / 2 / self.unread.max(1)).max(LEAST_SHARE)
    }

    /// A lane was dropped during a read.
    pub fn orphan(&mut self, key: LaneKey) {
        self.orphaned.insert(key);
    }

    /// Whether a read of a dropped lane of this key is still unanswered.
    pub fn is_orphaned(&self, key: &LaneKey) -> bool {
        self.orphaned.contains(key)
    }

    /// Reads that are not answered yet.
    pub const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub const fn answers(&self) -> u64 {
        self.answered
    }

    fn of(&mut self, priority: ReadPriority) -> &mut BTreeMap<u64, LaneKey> {
        match priority {
            ReadPriority::Empty => &mut self.empty,
            ReadPriority::Low => &mut self.low,
        }
    }
}
