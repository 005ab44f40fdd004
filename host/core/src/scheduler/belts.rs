//! Executions and their belts: which lanes exist.

use std::collections::BTreeMap;

use super::admission::Scheduler;
use super::connection::Connection;
use super::head::LaneKey;
use super::lane::Lane;
use super::needs::Need;
use crate::domain::belt::{BeltGate, BeltProgress, gate};
use crate::domain::ids::{ConnectionId, ExecutionSeq};

/// An execution with unfinished jobs.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) paused: bool,
    /// Belts of each connection, ascending.
    pub(super) belts: BTreeMap<ConnectionId, Vec<BeltProgress>>,
    /// Belts whose cancelling was asked for.
    aborted: Vec<(ConnectionId, u32)>,
}

impl Scheduler {
    /// An execution was sealed, or found unfinished at the start: its belts on each connection.
    pub fn open(&mut self, execution: ExecutionSeq, paused: bool, belts: impl IntoIterator<Item = (ConnectionId, BeltProgress)>) {
        let state = self.executions.entry(execution).or_default();
        state.paused = paused;
        for (connection, belt) in belts {
            place(state.belts.entry(connection).or_default(), belt);
        }
        let connections: Vec<_> = state.belts.keys().copied().collect();
        for connection in connections {
            self.review_belts(execution, connection);
        }
    }

    /// New counters of a belt.
    pub fn progress(&mut self, execution: ExecutionSeq, connection: ConnectionId, belt: BeltProgress) {
        let Some(state) = self.executions.get_mut(&execution) else { return };
        let belts = state.belts.entry(connection).or_default();
        let was_through = belts.iter().find(|b| b.belt == belt.belt).is_some_and(BeltProgress::is_through);
        place(belts, belt);
        if belt.is_through() && !was_through {
            self.review_belts(execution, connection);
        }
    }

    /// An execution has no unfinished job any more.
    pub fn close(&mut self, execution: ExecutionSeq) {
        let Some(state) = self.executions.remove(&execution) else { return };
        for connection in state.belts.keys() {
            if let Some(connection) = self.connections.get_mut(connection) {
                for key in lanes_of(connection, execution) {
                    connection.drop_lane(key);
                }
            }
        }
    }

    /// An execution is paused or goes on.
    pub fn pause(&mut self, execution: ExecutionSeq, paused: bool) {
        let Some(state) = self.executions.get_mut(&execution) else { return };
        if std::mem::replace(&mut state.paused, paused) == paused {
            return;
        }
        let connections: Vec<_> = state.belts.keys().copied().collect();
        for id in connections {
            if paused {
                if let Some(connection) = self.connections.get_mut(&id) {
                    for key in lanes_of(connection, execution) {
                        connection.drop_lane(key);
                    }
                }
            } else {
                self.review_belts(execution, id);
            }
        }
    }

    /// Whether a belt may go; none: not known here.
    pub(super) fn belt_gate(&self, execution: ExecutionSeq, connection: ConnectionId, belt: u32) -> Option<BeltGate> {
        let on_failure = self.connections.get(&connection)?.rules.belt_on_failure;
        let belts = self.executions.get(&execution)?.belts.get(&connection)?;
        let index = belts.iter().position(|b| b.belt == belt)?;
        Some(gate(belts, index, on_failure))
    }

    /// Opens what may open, and makes lanes for open belts that have none.
    pub(super) fn review_belts(&mut self, execution: ExecutionSeq, connection: ConnectionId) {
        let (Some(state), Some(target)) = (self.executions.get_mut(&execution), self.connections.get_mut(&connection)) else { return };
        let Some(belts) = state.belts.get_mut(&connection) else { return };
        let on_failure = target.rules.belt_on_failure;
        for index in 0..belts.len() {
            let number = belts[index].belt;
            match gate(belts, index, on_failure) {
                BeltGate::Open => {
                    if !belts[index].opened {
                        belts[index].opened = true;
                        self.needs.push_back(Need::OpenBelt { execution, connection, belt: number });
                    }
                    if !state.paused && belts[index].finished() < belts[index].total {
                        make_lanes(target, execution, &belts[index]);
                    }
                }
                BeltGate::Aborted if !state.aborted.contains(&(connection, number)) => {
                    state.aborted.extend(belts[index..].iter().map(|b| (connection, b.belt)));
                    self.needs.push_back(Need::AbortBelts { execution, connection, belt: number });
                }
                BeltGate::Aborted | BeltGate::Closed | BeltGate::Held => {}
            }
        }
        self.arm(connection);
    }
}

/// Puts a belt's new counters in their place. An open belt stays open.
fn place(belts: &mut Vec<BeltProgress>, belt: BeltProgress) {
    match belts.binary_search_by_key(&belt.belt, |b| b.belt) {
        Ok(index) => belts[index] = BeltProgress { opened: belts[index].opened || belt.opened, ..belt },
        Err(index) => belts.insert(index, belt),
    }
}

fn make_lanes(connection: &mut Connection, execution: ExecutionSeq, belt: &BeltProgress) {
    for priority in belt.priorities() {
        let key = LaneKey { connection: connection.rules.connection, execution, belt: belt.belt, priority };
        if !connection.lanes.contains_key(&key) {
            connection.lanes.insert(key, Lane::default());
            connection.unread.push_back(key);
        }
    }
}

fn lanes_of(connection: &Connection, execution: ExecutionSeq) -> Vec<LaneKey> {
    let id = connection.rules.connection;
    let first = LaneKey { connection: id, execution, belt: 0, priority: i8::MIN };
    let last = LaneKey { connection: id, execution, belt: u32::MAX, priority: i8::MAX };
    connection.lanes.range(first..=last).map(|(key, _)| *key).collect()
}
