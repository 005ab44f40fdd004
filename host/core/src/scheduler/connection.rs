//! One connection's side of admission: its rules, its lanes, and what of it is under way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::head::{Head, Kind, LaneKey};
use super::lane::Lane;
use super::read_queue::{ReadPriority, ReadQueue};
use super::ready::Ready;
use super::status::Blocked;
use super::window::{Object, Slot};
use crate::domain::belt::BeltOnFailure;
use crate::domain::ids::{ConnectionId, JobSeq, SubscriptionId, TypeHash};
use crate::domain::object::ObjectHash;
use crate::domain::partition::KeyHash;
use crate::time::Mono;

/// What an operator and a connector fix for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRules {
    pub connection: ConnectionId,
    pub subscription: SubscriptionId,
    /// The subscription's share when subscriptions take turns; at least 1.
    pub weight: u32,
    /// Calls being prepared or under way at once.
    pub max_calls: u32,
    /// What later belts do when an earlier one is not clean.
    pub belt_on_failure: BeltOnFailure,
    /// How jobs of a type are packed, by type hash.
    pub packing: HashMap<TypeHash, PackingRule>,
}

/// How jobs of one type are packed into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackingRule {
    /// Items in one call; at least 1.
    pub max_items: u32,
    /// Calls at once; 0: no bound of its own.
    pub max_in_flight: u32,
    /// How long a call that is not full may wait for more.
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

/// Whether a connection may be used at all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Availability {
    #[default]
    Open,
    /// Its channel or itself is paused by a person.
    Paused,
    /// Its credential or settings are refused, with the reason.
    Parked(String),
    /// The destination does not answer; probed again at this instant.
    CircuitOpen(Mono),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) rules: ConnectionRules,
    pub(super) availability: Availability,
    /// It was removed; what of it is under way is still counted until it ends.
    pub(super) removed: bool,
    pub(super) lanes: BTreeMap<LaneKey, Lane>,
    pub(super) ready: Ready,
    pub(super) reading: ReadQueue,
    /// Keys with a loaded job or one under way.
    pub(super) slots: HashMap<KeyHash, Slot>,
    /// The keys of these jobs.
    pub(super) jobs: HashMap<JobSeq, KeyHash>,
    pub(super) objects: HashMap<ObjectHash, Object>,
    /// Loaded heads of all lanes.
    pub(super) loaded: usize,
    /// Heads that wait for another job of their object.
    pub(super) behind: usize,
    /// The most heads that are loaded, and the most that wait for others.
    pub(super) window: usize,
    /// Heads were turned away because too many wait for their objects.
    pub(super) overflowed: bool,
    /// Keys whose head is to be looked up.
    pub(super) pending_head_lookups: BTreeSet<KeyHash>,
    /// Jobs that must go in smaller calls: a call with them did not advance.
    pub(super) call_caps: HashMap<JobSeq, u32>,
    /// Calls under way, in all and by type.
    pub(super) calls: u32,
    pub(super) calls_of_type: HashMap<TypeHash, u32>,
    pub(super) picks: u64,
    /// Why nothing more goes, as found at the last try.
    pub(super) blocked: Option<Blocked>,
    /// When it is looked at again although nothing happened.
    pub(super) timer: Option<Mono>,
    low_water: usize,
}

impl Connection {
    pub(super) fn new(rules: ConnectionRules, window: usize) -> Self {
        Self {
            rules,
            availability: Availability::Open,
            removed: false,
            lanes: BTreeMap::new(),
            ready: Ready::default(),
            reading: ReadQueue::default(),
            slots: HashMap::new(),
            jobs: HashMap::new(),
            objects: HashMap::new(),
            loaded: 0,
            behind: 0,
            window: window.max(1),
            overflowed: false,
            pending_head_lookups: BTreeSet::new(),
            call_caps: HashMap::new(),
            calls: 0,
            calls_of_type: HashMap::new(),
            picks: 0,
            blocked: None,
            timer: None,
            low_water: 1,
        }
    }

    /// Takes over new rules. A lane is refilled early enough for a full call.
    pub(super) fn adopt(&mut self, rules: ConnectionRules, low_water: usize) {
        let largest = rules
            .packing
            .values()
            .map(|rule| rule.max_items as usize)
            .max()
            .unwrap_or(1);
        self.low_water = low_water
            .max(largest.saturating_mul(2))
            .min(self.window / 2)
            .max(1);
        self.rules = rules;
        let keys: Vec<_> = self.lanes.keys().copied().collect();
        for key in keys {
            self.reconsider(key);
        }
    }

    pub(super) fn packing(&self, type_hash: TypeHash) -> PackingRule {
        self.rules
            .packing
            .get(&type_hash)
            .copied()
            .unwrap_or_default()
    }

    /// Makes a lane to be read, unless it is there.
    pub(super) fn make_lane(&mut self, key: LaneKey) {
        self.lanes.entry(key).or_default();
        self.reconsider(key);
    }

    /// Puts a lane into the queue of those to be read, or takes it out.
    pub(super) fn reconsider(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        if lane.counted == lane.exhausted {
            lane.counted = !lane.exhausted;
            self.reading.count(lane.counted);
        }
        let low_water = self
            .low_water
            .min(self.reading.share(self.window) / 2)
            .max(1);
        let priority = if lane.loading || lane.exhausted || self.reading.is_orphaned(&key) {
            None
        } else if lane.is_empty() {
            Some(ReadPriority::Empty)
        } else {
            (lane.len() < low_water).then_some(ReadPriority::Low)
        };
        lane.ticket = self.reading.queue(key, lane.ticket, priority);
    }

    /// The next lane to read, if the window has room.
    pub(super) fn next_read(&mut self, page: usize) -> Option<(LaneKey, Option<JobSeq>)> {
        let key = self.reading.next(self.loaded, self.window, page)?;
        let lane = self
            .lanes
            .get_mut(&key)
            .expect("a lane leaves the queues before it is dropped");
        lane.ticket = None;
        lane.loading = true;
        Some((key, lane.cursor))
    }

    /// Takes over a page of a lane, as much of it as its share allows; the rest is read again
    /// later.
    pub(super) fn take_over(
        &mut self,
        key: LaneKey,
        heads: &[Head],
        held: usize,
        next: Option<JobSeq>,
        now: Mono,
    ) {
        let share = self.reading.share(self.window);
        let loaded = |connection: &Self| connection.lanes.get(&key).map_or(0, Lane::len);
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

    /// Drops lanes with what is loaded of them. Jobs under way stay until their call ends.
    pub(super) fn drop_lanes(&mut self, keys: &[LaneKey]) {
        // Those behind others come first: else freeing an object would bring them into a lane that
        // is being dropped.
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
                self.reading.queue(*key, lane.ticket, None);
                if lane.counted {
                    self.reading.count(false);
                }
                if lane.loading {
                    self.reading.orphan(*key);
                }
            }
        }
    }

    /// Whether the window takes one more head; one that stands for its key already, or takes
    /// another's place, needs no more room.
    pub(super) fn has_room_for(&self, head: &Head) -> bool {
        self.loaded < self.window || self.slots.contains_key(&head.key)
    }

    /// Reads a lane from its start again, and makes it if it is not there.
    pub(super) fn read_lane_again(&mut self, key: LaneKey) {
        self.lanes.entry(key).or_default().restart();
        self.reconsider(key);
    }

    /// Reads all lanes from their start again: jobs may have come up that nobody told of.
    pub(super) fn read_again(&mut self) {
        let keys: Vec<_> = self.lanes.keys().copied().collect();
        for key in keys {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.restart();
            }
            self.reconsider(key);
        }
    }

    /// Nothing of a removed connection is under way any more.
    pub(super) const fn is_over(&self) -> bool {
        self.removed && self.calls == 0 && self.reading.under_way() == 0
    }
}
