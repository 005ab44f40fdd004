//! The scheduler's state, and the choice of the next call.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::Room;
use super::belts::Execution;
use super::connection::{Connection, ConnectionRules, Gating, PackingRule};
use super::head::{Head, Kind, LaneKey};
use super::needs::Need;
use super::status::{Blocked, gating_reason};
use super::turns::Turns;
use crate::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use crate::domain::partition::KeyHash;
use crate::domain::waiting::WaitingKind;
use crate::time::Mono;

/// Bounds of the scheduler's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerBounds {
    /// Loaded heads per connection.
    pub window: usize,
    /// Jobs read from the store at once.
    pub page: usize,
    /// A lane with fewer loaded heads than this is read on.
    pub low_water: usize,
    /// Every so many picks of a connection ignore priority, so that the lowest still moves.
    pub ignore_priority_every: u64,
}

impl Default for SchedulerBounds {
    fn default() -> Self {
        Self { window: 4096, page: 512, low_water: 256, ignore_priority_every: 10 }
    }
}

/// A call to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Subscription × channel.
    pub connection: ConnectionId,
    /// Its jobs, in order.
    pub heads: Vec<Head>,
    /// Estimated requests, to be reserved at the gate.
    pub requests: u32,
}

/// What became of a job of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ended, or waits for something that the store keeps: forgotten here.
    Left,
    /// It may go again at once, with this many attempts spent, in calls of at most so many items.
    Again {
        /// Attempts spent.
        attempts: u32,
        /// A body is pinned.
        pinned: bool,
        /// At most so many items in its next call; none: as before.
        call_cap: Option<u32>,
    },
}

/// Who runs next.
#[derive(Debug, Default)]
pub struct Scheduler {
    pub(super) bounds: SchedulerBounds,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) executions: HashMap<ExecutionSeq, Execution>,
    pub(super) needs: VecDeque<Need>,
    turns: Turns,
    /// When a connection that is held by a limit or by a filling call is looked at again.
    alarms: BTreeMap<Mono, HashSet<ConnectionId>>,
}

impl Scheduler {
    /// An empty scheduler.
    #[must_use]
    pub fn new(bounds: SchedulerBounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Adds a connection or changes its rules.
    pub fn connect(&mut self, rules: ConnectionRules) {
        let id = rules.connection;
        let executions: Vec<_> = self.executions.iter().filter(|(_, e)| e.belts.contains_key(&id)).map(|(seq, _)| *seq).collect();
        match self.connections.get_mut(&id) {
            Some(connection) => connection.rules = rules,
            None => {
                self.connections.insert(id, Connection::new(rules));
            }
        }
        for execution in executions {
            self.review_belts(execution, id);
        }
        self.arm(id);
    }

    /// Removes a connection. Its unfinished jobs stay in the store.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        if let Some(state) = self.connections.remove(&connection) {
            self.turns.disarm(state.rules.subscription, connection);
        }
    }

    /// Opens or closes a connection as a whole.
    pub fn set_gating(&mut self, connection: ConnectionId, gating: Gating) {
        if let Some(state) = self.connections.get_mut(&connection) {
            state.gating = gating;
            self.arm(connection);
        }
    }

    /// The connection's gating.
    #[must_use]
    pub fn gating(&self, connection: ConnectionId) -> Option<&Gating> {
        self.connections.get(&connection).map(|c| &c.gating)
    }

    /// A page of a lane was read: the heads, the keys of jobs that stand behind another, and where to read on.
    pub fn page(&mut self, key: LaneKey, heads: &[Head], held: &[KeyHash], next: Option<JobSeq>, now: Mono) {
        let Some(connection) = self.connections.get_mut(&key.connection) else { return };
        let Some(lane) = connection.lanes.get_mut(&key) else { return };
        lane.loading = false;
        lane.exhausted = next.is_none();
        lane.cursor = next.or(lane.cursor);
        lane.held += held.len() as u64;
        if next.is_some() {
            connection.unfinished.insert(key);
        } else {
            connection.unfinished.remove(&key);
        }
        for head in heads {
            connection.add(*head, now);
        }
        for behind in held {
            connection.queued_keys.insert(*behind);
            // The job in front may have ended between the reading and now: then nobody else would bring the next one up.
            if !connection.busy_keys.contains_key(behind) {
                self.needs.push_back(Need::Head { connection: key.connection, key: *behind });
            }
        }
        self.want_pages(key.connection);
        self.arm(key.connection);
    }

    /// A page could not be read; it is asked for again.
    pub fn page_failed(&mut self, key: LaneKey) {
        let Some(connection) = self.connections.get_mut(&key.connection) else { return };
        let Some(lane) = connection.lanes.get_mut(&key) else { return };
        lane.loading = false;
        if lane.cursor.is_none() {
            connection.unread.push_back(key);
        }
    }

    /// Heads came up: the next of a key, or jobs whose wait ended.
    pub fn found(&mut self, heads: &[Head], now: Mono) {
        for head in heads {
            let execution = head.job.execution();
            let open = self.executions.get(&execution).is_some_and(|e| !e.paused)
                && matches!(self.belt_gate(execution, head.connection, head.belt), Some(crate::domain::belt::BeltGate::Open));
            let Some(connection) = self.connections.get_mut(&head.connection) else { continue };
            // A job of a closed belt or a paused execution is read when its lane is.
            if !open {
                continue;
            }
            if let Some(lane) = connection.lanes.get_mut(&head.lane()) {
                lane.held = lane.held.saturating_sub(1);
            }
            connection.add(*head, now);
            self.arm(head.connection);
        }
    }

    /// No ready job of the key was found: nobody is told again until another job of it is read.
    pub fn key_is_empty(&mut self, connection: ConnectionId, key: KeyHash) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.queued_keys.remove(&key);
        }
    }

    /// Jobs ended outside of a call: cancelled, expired.
    pub fn gone(&mut self, jobs: &[JobSeq]) {
        if jobs.is_empty() {
            return;
        }
        let gone: HashSet<_> = jobs.iter().copied().collect();
        for (id, connection) in &mut self.connections {
            connection.forget(&gone);
            // Any of them may have been the head of its key without being loaded here.
            for key in &connection.queued_keys {
                if !connection.busy_keys.contains_key(key) {
                    self.needs.push_back(Need::Head { connection: *id, key: *key });
                }
            }
        }
    }

    /// A call ended: what became of its jobs.
    pub fn ended(&mut self, id: ConnectionId, type_hash: i64, jobs: &[(Head, Ending)], now: Mono) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.calls = connection.calls.saturating_sub(1);
        if let Some(calls) = connection.calls_of_type.get_mut(&type_hash) {
            *calls = calls.saturating_sub(1);
        }
        for (head, _) in jobs {
            connection.release(head, now);
        }
        for (head, ending) in jobs {
            match ending {
                Ending::Left => {
                    connection.call_caps.remove(&head.job);
                    if connection.queued_keys.contains(&head.key) {
                        self.needs.push_back(Need::Head { connection: id, key: head.key });
                    }
                }
                Ending::Again { attempts, pinned, call_cap } => {
                    if let Some(cap) = call_cap {
                        connection.call_caps.insert(head.job, (*cap).max(1));
                    }
                    let paused = self.executions.get(&head.job.execution()).is_none_or(|e| e.paused);
                    if !paused {
                        connection.add(Head { attempts: *attempts, pinned: *pinned, ..*head }, now);
                    }
                }
            }
        }
        self.want_pages(id);
        self.arm(id);
    }

    /// The limits of a connection may have room again.
    pub fn room_changed(&mut self, connection: ConnectionId) {
        self.arm(connection);
    }

    /// Connections known here.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.keys().copied()
    }

    /// What is needed from the store, taken out.
    pub fn needs(&mut self) -> Vec<Need> {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            self.want_pages(id);
        }
        self.needs.drain(..).collect()
    }

    /// When [`Scheduler::next`] is worth asking again although nothing happened.
    #[must_use]
    pub fn alarm(&self) -> Option<Mono> {
        self.alarms.first_key_value().map(|(at, _)| *at)
    }

    /// The next call to start; none: nothing is admissible now.
    pub fn next(&mut self, now: Mono, room: &dyn Room) -> Option<Claim> {
        self.ring_alarms(now);
        while let Some((subscription, id)) = self.turns.front() {
            let Some(connection) = self.connections.get_mut(&id) else {
                self.turns.disarm(subscription, id);
                continue;
            };
            match admit(connection, &self.bounds, now, room) {
                Ok(claim) => {
                    connection.blocked = None;
                    let weight = connection.rules.weight;
                    self.turns.advance(subscription, weight);
                    return Some(claim);
                }
                Err(blocked) => {
                    if let Some(until) = blocked.until {
                        self.alarms.entry(until).or_default().insert(id);
                    }
                    connection.blocked = Some(blocked);
                    self.turns.disarm(subscription, id);
                }
            }
        }
        None
    }

    pub(super) fn arm(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            if connection.loaded > 0 && connection.gating == Gating::Open {
                self.turns.arm(connection.rules.subscription, id);
            }
        }
    }

    fn ring_alarms(&mut self, now: Mono) {
        while let Some((at, _)) = self.alarms.first_key_value() {
            if *at > now {
                break;
            }
            let (_, ids) = self.alarms.pop_first().expect("there is a first one");
            for id in ids {
                self.arm(id);
            }
        }
    }

    /// Asks for pages of lanes that run low, new lanes first, while the connection's window has room.
    fn want_pages(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut room = self.bounds.window.saturating_sub(connection.loaded);
        let low = connection.unfinished.iter().filter(|key| connection.lanes.get(key).is_some_and(|l| !l.loading && l.len() < self.bounds.low_water));
        let mut wanted: Vec<LaneKey> = low.copied().collect();
        while room > wanted.len() * self.bounds.page {
            let Some(key) = connection.unread.pop_front() else { break };
            wanted.push(key);
        }
        for key in wanted {
            if room == 0 {
                break;
            }
            if let Some(lane) = connection.lanes.get_mut(&key).filter(|lane| !lane.loading && !lane.exhausted) {
                lane.loading = true;
                self.needs.push_back(Need::Page { lane: key, after: lane.cursor });
                room = room.saturating_sub(self.bounds.page);
            }
        }
    }
}

/// Makes one call of a connection's ready heads, or says why none can start.
fn admit(connection: &mut Connection, bounds: &SchedulerBounds, now: Mono, room: &dyn Room) -> Result<Claim, Blocked> {
    if let Some(blocked) = gating_reason(&connection.gating) {
        return Err(blocked);
    }
    let turn = |key: &str, until| Blocked { kind: WaitingKind::Turn, key: Some(key.to_owned()), until };
    if connection.ready.is_empty() {
        return Err(turn("nothing_ready", None));
    }
    if connection.calls >= connection.rules.max_calls {
        return Err(turn("max_calls", None));
    }
    let (requests, limit) = room.headroom(connection.rules.connection, now);
    if requests == 0 {
        let (key, until) = limit.map_or((None, None), |(key, until)| (Some(key), Some(until)));
        return Err(Blocked { kind: WaitingKind::Limit, key, until: until.filter(|u| *u != Mono::FAR) });
    }
    connection.picks += 1;
    let ignore_priority = connection.picks.is_multiple_of(bounds.ignore_priority_every.max(1));
    let (first, packing) = loop {
        let (head, packing) = pick(connection, ignore_priority).ok_or_else(|| turn("max_in_flight", None))?;
        if !connection.is_busy(&head) {
            break (head, packing);
        }
        connection.unload(&head);
        connection.behind.push(head);
    };
    let cap = connection.call_caps.get(&first.job).copied().unwrap_or(u32::MAX);
    let max_items = packing.max_items.min(cap).max(1) as usize;
    if let Some(until) = wait_for_more(connection, &first, packing, max_items, now) {
        return Err(turn("max_wait", until));
    }
    let heads = fill(connection, first, packing, max_items);
    connection.calls += 1;
    *connection.calls_of_type.entry(first.type_hash).or_default() += 1;
    Ok(Claim { connection: connection.rules.connection, heads, requests: packing.requests_per_call.max(1) })
}

/// The head whose turn it is: the highest priority (or, every so often, the oldest of all), the next lane of the ring, its oldest
/// head of a type that may start another call.
fn pick(connection: &Connection, ignore_priority: bool) -> Option<(Head, PackingRule)> {
    let usable = |kind: Kind| {
        let packing = connection.packing(kind.type_hash);
        packing.max_in_flight == 0 || connection.calls_of_type.get(&kind.type_hash).copied().unwrap_or(0) < packing.max_in_flight
    };
    let first_of_ring = |ring: &VecDeque<LaneKey>| ring.iter().find_map(|key| connection.lanes.get(key)?.first(usable));
    let head = if ignore_priority {
        connection.ready.values().filter_map(first_of_ring).min_by_key(Head::place)
    } else {
        connection.ready.values().rev().find_map(first_of_ring)
    }?;
    Some((head, connection.packing(head.type_hash)))
}

/// Until when a call that is not full waits for more; `Some(None)`: until the page under way is there.
#[expect(clippy::option_option, reason = "three answers: go, wait for a signal, wait until then")]
fn wait_for_more(connection: &Connection, first: &Head, packing: PackingRule, max_items: usize, now: Mono) -> Option<Option<Mono>> {
    if max_items == 1 {
        return None;
    }
    let lane = connection.lanes.get(&first.lane())?;
    let mut count = 0;
    for key in connection.ready.values().flatten() {
        count += connection.lanes.get(key).map_or(0, |l| l.count_of(first.kind(), packing.mixed_actions));
        if count >= max_items {
            return None;
        }
    }
    if lane.loading {
        return Some(None);
    }
    let until = lane.filling_since?.plus_ms(packing.max_wait_ms);
    (packing.max_wait_ms > 0 && until > now).then_some(Some(until))
}

/// Takes heads of one kind for a call, executions in turn.
fn fill(connection: &mut Connection, first: Head, packing: PackingRule, max_items: usize) -> Vec<Head> {
    let mut heads = vec![first];
    connection.take(&first);
    rotate(connection, first.lane());
    let mut rings: Vec<i8> = connection.ready.keys().rev().copied().collect();
    rings.retain(|priority| *priority <= first.priority);
    for priority in rings {
        let mut idle = 0;
        while heads.len() < max_items {
            let Some(ring) = connection.ready.get(&priority) else { break };
            let (Some(key), length) = (ring.front().copied(), ring.len()) else { break };
            if idle >= length {
                break;
            }
            let next = connection.lanes.get(&key).and_then(|lane| lane.first_of(first.kind(), packing.mixed_actions));
            match next {
                Some(head) if connection.is_busy(&head) => {
                    connection.unload(&head);
                    connection.behind.push(head);
                }
                Some(head) if connection.call_caps.get(&head.job).is_none_or(|cap| heads.len() < *cap as usize) => {
                    connection.take(&head);
                    heads.push(head);
                    idle = 0;
                    rotate(connection, key);
                }
                _ => {
                    idle += 1;
                    rotate(connection, key);
                }
            }
        }
    }
    heads
}

/// The lane had its turn: it goes to the end of its ring, if it still stands in front of it.
fn rotate(connection: &mut Connection, key: LaneKey) {
    if let Some(ring) = connection.ready.get_mut(&key.priority).filter(|ring| ring.front() == Some(&key)) {
        ring.rotate_left(1);
    }
}
