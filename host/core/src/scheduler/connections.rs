//! Connections are added, changed and removed.

use super::availability::Availability;
use super::connection::Connection;
use super::rules::ConnectionRules;
use super::scheduler::Scheduler;
use crate::domain::ids::ConnectionId;

impl Scheduler {
    /// Adds a connection or changes its rules. A connection that was removed and returns still
    /// counts its calls in flight.
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

    /// Removes a connection. Its unfinished jobs stay in the store, and its calls in flight finish.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        let lanes: Vec<_> = state.window.lanes.keys().copied().collect();
        state.window.drop_lanes(&lanes);
        state.removed = true;
        state.availability = Availability::Open;
        state.blocked = None;
        state.call_caps.clear();
        state.window.pending_head_lookups.clear();
        if let Some(at) = state.timer.take() {
            self.timers.remove(&(at, connection));
        }
        self.turns.dequeue(state.rules.subscription, connection);
        self.remove_if_idle(connection);
    }

    /// Sets whether a connection may be used.
    pub fn set_availability(&mut self, connection: ConnectionId, availability: Availability) {
        if let Some(state) = self.connections.get_mut(&connection).filter(|c| !c.removed) {
            state.availability = availability;
            self.touch(connection);
        }
    }

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
}
