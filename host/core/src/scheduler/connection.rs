//! One connection's side of admission: its rules, its lanes, and what of it is under way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::head::{Head, LaneKey};
use super::lane::Lane;
use super::status::Blocked;
use crate::domain::belt::BeltOnFailure;
use crate::domain::ids::{ConnectionId, JobSeq, SubscriptionId};
use crate::domain::object::ObjectHash;
use crate::domain::partition::KeyHash;
use crate::time::Mono;

/// What an operator and a connector fix for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRules {
    /// Subscription × channel.
    pub connection: ConnectionId,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// The subscription's share when subscriptions take turns; at least 1.
    pub weight: u32,
    /// Calls being prepared or under way at once.
    pub max_calls: u32,
    /// What later belts do when an earlier one is not clean.
    pub belt_on_failure: BeltOnFailure,
    /// How jobs of a type are packed, by type hash.
    pub packing: HashMap<i64, PackingRule>,
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
        Self { max_items: 1, max_in_flight: 0, max_wait_ms: 0, mixed_actions: false, requests_per_call: 1 }
    }
}

/// Whether a connection may be used at all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Gating {
    /// It may.
    #[default]
    Open,
    /// Its channel or itself is paused by a person.
    Paused,
    /// Its credential or settings are refused, with the reason.
    Parked(String),
    /// The destination does not answer; probed again at this instant.
    Circuit(Mono),
}

/// A connection's state.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) rules: ConnectionRules,
    pub(super) gating: Gating,
    pub(super) lanes: BTreeMap<LaneKey, Lane>,
    /// Lanes with loaded heads, by priority (highest last), in the order of their turns.
    pub(super) ready: BTreeMap<i8, VecDeque<LaneKey>>,
    /// Lanes that wait for room in the window before they are read.
    pub(super) unread: VecDeque<LaneKey>,
    /// Lanes of which a page was read and more is to come.
    pub(super) unfinished: BTreeSet<LaneKey>,
    /// Loaded heads of all lanes.
    pub(super) loaded: usize,
    /// Jobs loaded or under way: what the store reads again is dropped.
    pub(super) known: HashSet<JobSeq>,
    /// Keys and objects of jobs under way.
    pub(super) busy_keys: HashMap<KeyHash, JobSeq>,
    pub(super) busy_objects: HashMap<ObjectHash, JobSeq>,
    /// Heads that came up while their key or object was busy.
    pub(super) behind: Vec<Head>,
    /// Keys with jobs behind their head, as read so far.
    pub(super) queued_keys: HashSet<KeyHash>,
    /// Jobs that must go in smaller calls: a call with them did not advance.
    pub(super) call_caps: HashMap<JobSeq, u32>,
    /// Calls under way, in all and by type.
    pub(super) calls: u32,
    pub(super) calls_of_type: HashMap<i64, u32>,
    pub(super) picks: u64,
    /// Why nothing more goes, as found at the last try.
    pub(super) blocked: Option<Blocked>,
}

impl Connection {
    pub(super) fn new(rules: ConnectionRules) -> Self {
        Self {
            rules,
            gating: Gating::Open,
            lanes: BTreeMap::new(),
            ready: BTreeMap::new(),
            unread: VecDeque::new(),
            unfinished: BTreeSet::new(),
            loaded: 0,
            known: HashSet::new(),
            busy_keys: HashMap::new(),
            busy_objects: HashMap::new(),
            behind: Vec::new(),
            queued_keys: HashSet::new(),
            call_caps: HashMap::new(),
            calls: 0,
            calls_of_type: HashMap::new(),
            picks: 0,
            blocked: None,
        }
    }

    pub(super) fn packing(&self, type_hash: i64) -> PackingRule {
        self.rules.packing.get(&type_hash).copied().unwrap_or_default()
    }

    pub(super) fn is_busy(&self, head: &Head) -> bool {
        self.busy_keys.contains_key(&head.key) || self.busy_objects.contains_key(&head.object)
    }

    /// Adds a head to its lane's window; one that is known already is dropped.
    pub(super) fn add(&mut self, head: Head, now: Mono) {
        if !self.known.insert(head.job) {
            return;
        }
        if self.is_busy(&head) {
            self.behind.push(head);
            return;
        }
        self.put(head, now);
    }

    fn put(&mut self, head: Head, now: Mono) {
        let key = head.lane();
        let lane = self.lanes.entry(key).or_insert_with(Lane::read_through);
        if lane.is_empty() {
            self.ready.entry(key.priority).or_default().push_back(key);
        }
        lane.insert(head, now);
        self.loaded += 1;
    }

    /// Takes a head out of its lane's window; its key and object are busy from now on.
    pub(super) fn take(&mut self, head: &Head) {
        self.unload(head);
        self.busy_keys.insert(head.key, head.job);
        self.busy_objects.insert(head.object, head.job);
    }

    /// Takes a head out of its lane's window.
    pub(super) fn unload(&mut self, head: &Head) {
        let key = head.lane();
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if !lane.remove(head) {
            return;
        }
        self.loaded -= 1;
        if lane.is_empty() {
            self.leave_ring(key);
        }
    }

    /// Takes a lane out of the ring of its priority. The lane whose turn it is stands in front, so this is short.
    fn leave_ring(&mut self, key: LaneKey) {
        let Some(ring) = self.ready.get_mut(&key.priority) else { return };
        if ring.front() == Some(&key) {
            ring.pop_front();
        } else {
            ring.retain(|k| *k != key);
        }
        if ring.is_empty() {
            self.ready.remove(&key.priority);
        }
    }

    /// A job under way is no longer: key and object are free, and heads that waited for them come up.
    pub(super) fn release(&mut self, head: &Head, now: Mono) {
        self.known.remove(&head.job);
        if self.busy_keys.get(&head.key) == Some(&head.job) {
            self.busy_keys.remove(&head.key);
        }
        if self.busy_objects.get(&head.object) == Some(&head.job) {
            self.busy_objects.remove(&head.object);
        }
        let mut index = 0;
        while index < self.behind.len() {
            if self.is_busy(&self.behind[index]) {
                index += 1;
            } else {
                let free = self.behind.swap_remove(index);
                self.put(free, now);
            }
        }
    }

    /// Forgets jobs that ended outside of a call. Jobs under way stay until their call ends.
    pub(super) fn forget(&mut self, gone: &HashSet<JobSeq>) {
        let loaded: Vec<Head> = self.lanes.values().flat_map(Lane::heads).filter(|head| gone.contains(&head.job)).copied().collect();
        for head in &loaded {
            self.unload(head);
            self.known.remove(&head.job);
        }
        self.behind.retain(|head| !gone.contains(&head.job) || !self.known.remove(&head.job));
        self.call_caps.retain(|job, _| !gone.contains(job));
    }

    /// Drops a lane and what is loaded of it.
    pub(super) fn drop_lane(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.remove(&key) {
            for head in lane.heads() {
                self.known.remove(&head.job);
            }
            self.loaded -= lane.len();
        }
        self.leave_ring(key);
        self.unread.retain(|k| *k != key);
        self.unfinished.remove(&key);
        let known = &mut self.known;
        self.behind.retain(|head| head.lane() != key || !known.remove(&head.job));
    }
}
