//! The scheduler's state, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::LimitForecast;
use super::admission;
use super::belts::Execution;
use super::connection::{Availability, Connection, ConnectionRules};
use super::head::Head;
use super::needs::Need;
use super::turns::Turns;
use crate::domain::ids::{ConnectionId, ExecutionSeq, TypeHash};
use crate::time::Mono;

/// A blocked connection is asked again after this long at the latest, in milliseconds.
const ASKED_AGAIN_MS: u64 = 60_000;

/// Bounds of the scheduler's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerBounds {
    /// Loaded heads per connection. A page more may be loaded, and as many again may wait for other
    /// jobs of their objects.
    pub window: usize,
    /// Jobs read from the store at once.
    pub page: usize,
    /// A lane with fewer loaded heads than this, or than two full calls need, is read on.
    pub low_water: usize,
    /// Every so many picks of a connection ignore priority, so that the lowest still moves.
    pub ignore_priority_every: u64,
}

impl Default for SchedulerBounds {
    fn default() -> Self {
        Self {
            window: 4096,
            page: 512,
            low_water: 256,
            ignore_priority_every: 10,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub connection: ConnectionId,
    /// The object type of all its jobs.
    pub type_hash: TypeHash,
    pub heads: Vec<Head>,
    /// Estimated requests, to be reserved at the gate.
    pub requests: u32,
}

/// What became of a job of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCall {
    /// It ended, or is the store's again: forgotten here.
    Left,
    /// It waits for something that the store keeps. Only in how large calls it goes then is
    /// remembered here.
    Waits {
        /// At most so many items in its next call; none: as before.
        call_cap: Option<u32>,
    },
    /// It may go again at once, with this many attempts spent, in calls of at most so many items.
    Again {
        attempts: u32,
        pinned: bool,
        /// At most so many items in its next call; none: as before.
        call_cap: Option<u32>,
    },
}

#[derive(Debug, Default)]
pub struct Scheduler {
    pub(super) bounds: SchedulerBounds,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) executions: HashMap<ExecutionSeq, Execution>,
    pub(super) needs: VecDeque<Need>,
    /// Connections that may need something from the store.
    pub(super) touched: BTreeSet<ConnectionId>,
    turns: Turns,
    /// When a connection that is held by a limit or by a filling call is looked at again; one
    /// instant each.
    timers: BTreeSet<(Mono, ConnectionId)>,
}

impl Scheduler {
    #[must_use]
    pub fn new(bounds: SchedulerBounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    /// Adds a connection or changes its rules. One that was removed and comes back still counts its
    /// calls under way.
    pub fn connect(&mut self, rules: ConnectionRules) {
        let id = rules.connection;
        let bounds = self.bounds;
        let known = self
            .connections
            .get(&id)
            .filter(|connection| !connection.removed);
        let belts_as_before = known
            .is_some_and(|connection| connection.rules.belt_on_failure == rules.belt_on_failure);
        let connection = self
            .connections
            .entry(id)
            .or_insert_with(|| Connection::new(rules.clone(), bounds.window));
        if connection.rules.subscription != rules.subscription {
            self.turns.dequeue(connection.rules.subscription, id);
        }
        connection.removed = false;
        connection.adopt(rules, bounds.low_water);
        self.touch(id);
        if belts_as_before {
            return;
        }
        let executions: Vec<_> = self
            .executions
            .iter()
            .filter(|(_, e)| e.belts.contains_key(&id))
            .map(|(seq, _)| *seq)
            .collect();
        for execution in executions {
            self.review_belts(execution, id);
        }
    }

    /// Removes a connection. Its unfinished jobs stay in the store; its calls under way end as they
    /// end.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let lanes: Vec<_> = state.lanes.keys().copied().collect();
        state.drop_lanes(&lanes);
        state.removed = true;
        state.availability = Availability::Open;
        state.blocked = None;
        state.call_caps.clear();
        state.pending_head_lookups.clear();
        if let Some(at) = state.timer.take() {
            self.timers.remove(&(at, connection));
        }
        self.turns.dequeue(state.rules.subscription, connection);
        self.remove_if_idle(connection);
    }

    /// Opens or closes a connection as a whole.
    pub fn set_availability(&mut self, connection: ConnectionId, availability: Availability) {
        if let Some(state) = self.connections.get_mut(&connection).filter(|c| !c.removed) {
            state.availability = availability;
            self.touch(connection);
        }
    }

    #[must_use]
    pub fn availability(&self, connection: ConnectionId) -> Option<&Availability> {
        self.connection(connection).map(|c| &c.availability)
    }

    /// The limits of a connection may have room again.
    pub fn limits_changed(&mut self, connection: ConnectionId) {
        self.enqueue(connection);
    }

    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections
            .iter()
            .filter(|(_, c)| !c.removed)
            .map(|(id, _)| *id)
    }

    /// What is needed from the store, taken out. Each read that is asked for is to be answered, by
    /// what was read or by its failure.
    pub fn needs(&mut self) -> Vec<Need> {
        for id in std::mem::take(&mut self.touched) {
            let Some(connection) = self.connections.get_mut(&id).filter(|c| !c.removed) else {
                continue;
            };
            for key in std::mem::take(&mut connection.pending_head_lookups) {
                self.needs.push_back(Need::Head {
                    connection: id,
                    key,
                });
            }
            while let Some((lane, after)) = connection.next_read(self.bounds.page) {
                self.needs.push_back(Need::Page { lane, after });
            }
        }
        self.needs.drain(..).collect()
    }

    /// When [`Scheduler::next`] is worth asking again although nothing happened.
    #[must_use]
    pub fn timer(&self) -> Option<Mono> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next call to start; none: nothing is admissible now.
    pub fn next(&mut self, now: Mono, room: &dyn LimitForecast) -> Option<Claim> {
        self.fire_timers(now);
        while let Some((subscription, id)) = self.turns.front() {
            let Some(connection) = self.connections.get_mut(&id) else {
                self.turns.dequeue(subscription, id);
                continue;
            };
            match admission::admit(connection, &self.bounds, now, room) {
                Ok(claim) => {
                    connection.blocked = None;
                    let weight = connection.rules.weight;
                    self.turns.advance(subscription, weight);
                    self.touched.insert(id);
                    return Some(claim);
                }
                Err(blocked) => {
                    let until = blocked.until;
                    connection.blocked = Some(blocked);
                    self.turns.dequeue(subscription, id);
                    self.set_timer(id, until, now);
                }
            }
        }
        None
    }

    /// The connection, unless it was removed.
    pub(super) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id).filter(|c| !c.removed)
    }

    /// Something of a connection changed: it may have something to send, and may need something
    /// from the store.
    pub(super) fn touch(&mut self, id: ConnectionId) {
        self.touched.insert(id);
        self.enqueue(id);
    }

    /// Forgets a removed connection of which nothing is under way any more.
    pub(super) fn remove_if_idle(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }

    fn enqueue(&mut self, id: ConnectionId) {
        let ready = |c: &&Connection| c.loaded > 0 && c.availability == Availability::Open;
        if let Some(connection) = self.connection(id).filter(ready) {
            self.turns.enqueue(connection.rules.subscription, id);
        }
    }

    /// The connection's one timer. An instant that is not after `now` would only ask the same
    /// again, and again; one that is far away may come earlier, if it goes by a wall clock that is
    /// set.
    fn set_timer(&mut self, id: ConnectionId, until: Option<Mono>, now: Mono) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let until = until.map(|at| at.clamp(now.plus_ms(1), now.plus_ms(ASKED_AGAIN_MS)));
        if let Some(before) = std::mem::replace(&mut connection.timer, until) {
            self.timers.remove(&(before, id));
        }
        if let Some(at) = until {
            self.timers.insert((at, id));
        }
    }

    fn fire_timers(&mut self, now: Mono) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.timer = None;
            }
            self.enqueue(id);
        }
    }
}
