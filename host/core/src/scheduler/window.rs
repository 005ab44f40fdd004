//! What of a connection is in memory: at most one job of each key and, in the lanes, at most one of
//! each object.
//!
//! A second job of a key is turned away: the store keeps it, and whoever frees the key asks for the
//! key's head again. A job whose object is taken waits behind it. So nothing that a lane offers has
//! to be passed over.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use super::connection::Connection;
use super::head::{Head, LaneKey};
use super::lane::Lane;
use crate::domain::ids::JobSeq;
use crate::time::Mono;

/// The job that stands for its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) head: Head,
    pub(super) state: SlotState,
    since: Mono,
    /// Another job of the key was seen.
    pub(super) more: bool,
}

/// Where a job in memory stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    InLane,
    /// Behind another job of its object.
    Behind,
    InFlight,
}

impl Slot {
    /// It waits for its object and belongs to one of these lanes.
    pub(super) fn waits_in(&self, lanes: &[LaneKey]) -> bool {
        self.state == SlotState::Behind && lanes.contains(&self.head.lane())
    }
}

/// An object with jobs in memory.
#[derive(Debug)]
pub(super) struct Object {
    /// The one that may go or is under way.
    occupant: JobSeq,
    /// Those that wait for it, oldest first.
    behind: BTreeMap<(i64, u32, JobSeq), Head>,
}

impl Connection {
    /// Loads a head, unless it or an older job of its key is in memory.
    pub(super) fn add(&mut self, head: Head, now: Mono) {
        let mut more = false;
        if let Some(slot) = self.slots.get_mut(&head.key) {
            if slot.head.job == head.job {
                return;
            }
            slot.more = true;
            if slot.state == SlotState::InFlight || slot.head.order() < head.order() {
                return;
            }
            let younger = slot.head;
            self.unload(&younger);
            more = true;
        }
        let state = match self.objects.entry(head.object) {
            Entry::Vacant(free) => {
                free.insert(Object {
                    occupant: head.job,
                    behind: BTreeMap::new(),
                });
                SlotState::InLane
            }
            Entry::Occupied(_) if self.behind >= self.window => {
                self.overflowed = true;
                return;
            }
            Entry::Occupied(mut taken) => {
                taken.get_mut().behind.insert(head.order(), head);
                self.behind += 1;
                SlotState::Behind
            }
        };
        self.slots.insert(
            head.key,
            Slot {
                head,
                state,
                since: now,
                more,
            },
        );
        self.jobs.insert(head.job, head.key);
        if state == SlotState::InLane {
            self.put(head, now);
        }
    }

    /// Takes a head that is not under way out of memory. If another job of its key was seen, the
    /// key is asked for.
    pub(super) fn unload(&mut self, head: &Head) {
        let Some(slot) = self
            .slots
            .get(&head.key)
            .copied()
            .filter(|slot| slot.head.job == head.job && slot.state != SlotState::InFlight)
        else {
            return;
        };
        if slot.state == SlotState::InLane {
            self.lift(&slot.head);
        }
        self.vacate(&slot);
    }

    /// Takes a head out of its lane for a call.
    pub(super) fn take(&mut self, head: &Head) {
        self.lift(head);
        if let Some(slot) = self.slots.get_mut(&head.key) {
            slot.state = SlotState::InFlight;
        }
    }

    /// A job of a call left: its key and object are free.
    pub(super) fn release(&mut self, head: &Head) {
        if let Some(slot) = self.under_way(head) {
            self.vacate(&slot);
        }
    }

    /// A job of a call goes again: it keeps its key and object.
    pub(super) fn put_back(&mut self, head: Head, now: Mono) {
        if self.under_way(&head).is_none() {
            return;
        }
        let Some(slot) = self.slots.get_mut(&head.key) else {
            return;
        };
        let more = std::mem::take(&mut slot.more);
        *slot = Slot {
            head,
            state: SlotState::InLane,
            since: now,
            more: false,
        };
        self.put(head, now);
        if more {
            // What was turned away may be older: a job that was set aside and came back.
            self.pending_head_lookups.insert(head.key);
        }
    }

    fn under_way(&self, head: &Head) -> Option<Slot> {
        self.slots
            .get(&head.key)
            .copied()
            .filter(|slot| slot.head.job == head.job && slot.state == SlotState::InFlight)
    }

    /// Frees the key and the object of a job that stands in no lane any more.
    fn vacate(&mut self, slot: &Slot) {
        let head = slot.head;
        self.slots.remove(&head.key);
        self.jobs.remove(&head.job);
        if slot.more {
            self.pending_head_lookups.insert(head.key);
        }
        let Some(object) = self.objects.get_mut(&head.object) else {
            return;
        };
        if object.occupant != head.job {
            if object.behind.remove(&head.order()).is_some() {
                self.behind -= 1;
            }
        } else if let Some((_, next)) = object.behind.pop_first() {
            object.occupant = next.job;
            self.behind -= 1;
            self.come_up(next);
        } else {
            self.objects.remove(&head.object);
        }
        if self.overflowed && self.behind <= self.window / 2 {
            self.overflowed = false;
            self.read_again();
        }
    }

    /// The object of a head is free.
    fn come_up(&mut self, head: Head) {
        let Some(slot) = self.slots.get_mut(&head.key) else {
            return;
        };
        slot.state = SlotState::InLane;
        let since = slot.since;
        self.put(head, since);
    }

    fn put(&mut self, head: Head, since: Mono) {
        let key = head.lane();
        let lane = self.lanes.entry(key).or_insert_with(Lane::read_through);
        if lane.is_empty() {
            lane.turn = self.ready.next_turn();
        }
        if lane.insert(head) {
            self.ready.enter(key, lane.turn, head.kind());
        }
        self.ready
            .count_up(head.kind(), since, self.reading.answers());
        self.loaded += 1;
        self.reconsider(key);
    }

    fn lift(&mut self, head: &Head) {
        let key = head.lane();
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if lane.remove(head) {
            self.ready.leave(key, lane.turn, head.kind());
        }
        self.ready.count_down(head.kind());
        self.loaded -= 1;
        self.reconsider(key);
    }

    /// A lane had its turn: it goes behind the others of its priority.
    pub(super) fn rotate(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let turn = self.ready.next_turn();
        let before = std::mem::replace(&mut lane.turn, turn);
        for kind in lane.kinds() {
            self.ready.leave(key, before, kind);
            self.ready.enter(key, turn, kind);
        }
    }
}
