//! A connection's jobs in memory: at most one job of each key and, in the lanes, at most one of
//! each object.
//!
//! A second job of a key is turned away: the store keeps it, and whatever frees the key looks up
//! the key's head again. A job whose object is taken waits behind the object's other job. So
//! everything that a lane offers may go.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::lane::Lane;
use super::read_queue::{ReadPriority, ReadQueue};
use super::ready::Ready;
use super::slot::{Object, Slot, SlotState};
use crate::domain::ids::JobSeq;
use crate::domain::object::ObjectHash;
use crate::domain::partition::KeyHash;
use crate::scheduler::head::{Head, Kind, LaneKey};
use crate::time::Mono;

#[derive(Debug)]
pub struct Window {
    /// The most heads that are loaded, and the most that wait for others.
    capacity: usize,
    /// A lane with fewer loaded heads is refilled.
    low_water: usize,
    pub lanes: BTreeMap<LaneKey, Lane>,
    pub ready: Ready,
    pub read_queue: ReadQueue,
    /// Keys with a job that is loaded or in flight.
    pub slots: HashMap<KeyHash, Slot>,
    /// The keys of these jobs.
    pub jobs: HashMap<JobSeq, KeyHash>,
    objects: HashMap<ObjectHash, Object>,
    /// Loaded heads of all lanes.
    pub loaded: usize,
    /// Heads that wait for another job of their object.
    behind: usize,
    /// Heads were turned away because too many wait for their objects.
    overflowed: bool,
    /// Keys whose head is to be looked up.
    pub pending_head_lookups: BTreeSet<KeyHash>,
}

impl Window {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            low_water: 1,
            lanes: BTreeMap::new(),
            ready: Ready::default(),
            read_queue: ReadQueue::default(),
            slots: HashMap::new(),
            jobs: HashMap::new(),
            objects: HashMap::new(),
            loaded: 0,
            behind: 0,
            overflowed: false,
            pending_head_lookups: BTreeSet::new(),
        }
    }

    /// Sets when a lane is refilled: early enough for two full calls of `largest_call` jobs.
    pub fn set_low_water(&mut self, low_water: usize, largest_call: usize) {
        self.low_water = low_water
            .max(largest_call.saturating_mul(2))
            .min(self.capacity / 2)
            .max(1);
        let keys: Vec<_> = self.lanes.keys().copied().collect();
        for key in keys {
            self.reconsider(key);
        }
    }

    /// Makes a lane to be read, unless it exists.
    pub fn make_lane(&mut self, key: LaneKey) {
        self.lanes.entry(key).or_default();
        self.reconsider(key);
    }

    /// Puts a lane into the read queue, or takes it out.
    pub fn reconsider(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if lane.counted == lane.exhausted {
            lane.counted = !lane.exhausted;
            self.read_queue.count(lane.counted);
        }
        let low_water = self
            .low_water
            .min(self.read_queue.share(self.capacity) / 2)
            .max(1);
        let priority = if lane.loading || lane.exhausted || self.read_queue.is_orphaned(&key) {
            None
        } else if lane.is_empty() {
            Some(ReadPriority::Empty)
        } else {
            (lane.len() < low_water).then_some(ReadPriority::Low)
        };
        lane.ticket = self.read_queue.queue(key, lane.ticket, priority);
    }

    /// The next lane to read, if the window has room.
    pub fn next_read(&mut self, page: usize) -> Option<(LaneKey, Option<JobSeq>)> {
        let key = self.read_queue.next(self.loaded, self.capacity, page)?;
        let lane = self
            .lanes
            .get_mut(&key)
            .expect("a lane leaves the queues before it is dropped");
        lane.ticket = None;
        lane.loading = true;
        Some((key, lane.cursor))
    }

    /// Takes over as much of a lane's page as the lane's share allows. The rest is read again
    /// later.
    pub fn take_over(
        &mut self,
        key: LaneKey,
        heads: &[Head],
        held: usize,
        next: Option<JobSeq>,
        now: Mono,
    ) {
        let share = self.read_queue.share(self.capacity);
        let loaded = |window: &Self| window.lanes.get(&key).map_or(0, Lane::len);
        let whole = heads.iter().position(|head| {
            let full = loaded(self) >= share;
            if !full {
                self.add(*head, now);
            }
            full
        });
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        lane.loading = false;
        if std::mem::take(&mut lane.restarting) {
            return;
        }
        match whole {
            None => {
                lane.exhausted = next.is_none();
                lane.cursor = next.or(lane.cursor);
                lane.held += held as u64;
            }
            Some(0) => {}
            Some(cut) => lane.cursor = Some(heads[cut - 1].job),
        }
    }

    /// Drops lanes and their loaded heads. Jobs in flight stay until their call ends.
    pub fn drop_lanes(&mut self, keys: &[LaneKey]) {
        // Those behind others go first: otherwise freeing an object would move them into a lane
        // that is being dropped.
        if self.behind > 0 {
            let waiting: Vec<Head> = self
                .slots
                .values()
                .filter(|slot| slot.waits_in(keys))
                .map(|slot| slot.head)
                .collect();
            for head in waiting {
                self.unload(&head);
            }
        }
        for key in keys {
            while let Some(head) = self
                .lanes
                .get(key)
                .and_then(|lane| lane.first_of(&lane.kinds().collect::<Vec<Kind>>()))
            {
                self.unload(&head);
            }
        }
        for key in keys {
            if let Some(lane) = self.lanes.remove(key) {
                self.read_queue.queue(*key, lane.ticket, None);
                if lane.counted {
                    self.read_queue.count(false);
                }
                if lane.loading {
                    self.read_queue.orphan(*key);
                }
            }
        }
    }

    /// Whether the window takes this head. A head whose key has a slot needs no more room.
    pub fn has_room_for(&self, head: &Head) -> bool {
        self.loaded < self.capacity || self.slots.contains_key(&head.key)
    }

    /// Reads a lane from its start again. Makes it if it does not exist.
    pub fn read_lane_again(&mut self, key: LaneKey) {
        self.lanes.entry(key).or_default().restart();
        self.reconsider(key);
    }

    /// Reads all lanes from their start again: jobs may have become heads without a report.
    pub fn read_again(&mut self) {
        let keys: Vec<_> = self.lanes.keys().copied().collect();
        for key in keys {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.restart();
            }
            self.reconsider(key);
        }
    }

    /// Loads a head, unless it or an older job of its key is in memory.
    pub fn add(&mut self, head: Head, now: Mono) {
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
            Entry::Occupied(_) if self.behind >= self.capacity => {
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

    /// Takes a head that is not in flight out of memory. If another job of its key was seen, the
    /// key's head is looked up.
    pub fn unload(&mut self, head: &Head) {
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
    pub fn take(&mut self, head: &Head) {
        self.lift(head);
        if let Some(slot) = self.slots.get_mut(&head.key) {
            slot.state = SlotState::InFlight;
        }
    }

    /// A job left after its call: its key and object are free.
    pub fn release(&mut self, head: &Head) {
        if let Some(slot) = self.in_flight(head) {
            self.vacate(&slot);
        }
    }

    /// A job goes again after its call: it keeps its key and object.
    pub fn put_back(&mut self, head: Head, now: Mono) {
        if self.in_flight(&head).is_none() {
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
            // A job that was turned away may be older: one that was set aside and returned.
            self.pending_head_lookups.insert(head.key);
        }
    }

    fn in_flight(&self, head: &Head) -> Option<Slot> {
        self.slots
            .get(&head.key)
            .copied()
            .filter(|slot| slot.head.job == head.job && slot.state == SlotState::InFlight)
    }

    /// Frees the key and the object of a job that is in no lane.
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
        if self.overflowed && self.behind <= self.capacity / 2 {
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
            .count_up(head.kind(), since, self.read_queue.answers());
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

    /// A lane had its turn: it moves behind the others of its priority.
    pub fn rotate(&mut self, key: LaneKey) {
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
