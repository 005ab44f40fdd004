//! Executions and their belts decide which lanes exist.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::connection::Connection;
use super::execution::{Execution, place};
use super::head::LaneKey;
use super::needs::Need;
use super::scheduler::Scheduler;
use crate::domain::belt::{BeltGate, BeltProgress, gate};
use crate::domain::ids::{ConnectionId, ExecutionSeq};

impl Scheduler {
    /// An execution was sealed, or was unfinished at the start. `belts` are its belts on each
    /// connection.
    pub fn open(
        &mut self,
        execution: ExecutionSeq,
        paused: bool,
        belts: impl IntoIterator<Item = (ConnectionId, BeltProgress)>,
    ) {
        let state = self
            .executions
            .entry(execution)
            .or_insert_with(|| Execution {
                paused,
                ..Execution::default()
            });
        for (connection, belt) in belts {
            place(state.belts.entry(connection).or_default(), belt);
        }
        let connections: Vec<_> = state.belts.keys().copied().collect();
        self.pause(execution, paused);
        for connection in connections {
            self.review_belts(execution, connection);
        }
    }

    /// New counters of belts that changed together. They are reviewed together, too: the end of one
    /// job can finish a belt and release a job of the next one, and half of that change would open
    /// the belt behind.
    ///
    /// Counters that are older than the known ones are ignored: answers of the store may arrive in
    /// the wrong order.
    pub fn progress(
        &mut self,
        belts: impl IntoIterator<Item = (ExecutionSeq, ConnectionId, BeltProgress)>,
    ) {
        let facts = |b: &BeltProgress| {
            (
                b.is_through(),
                b.is_clean(),
                b.opened,
                b.finished() >= b.total,
            )
        };
        let mut changed = BTreeSet::new();
        for (execution, connection, belt) in belts {
            let Some(state) = self.executions.get_mut(&execution) else {
                continue;
            };
            let known = state.belts.entry(connection).or_default();
            let before = known.iter().find(|b| b.belt == belt.belt).map(facts);
            if before != Some(facts(place(known, belt))) {
                changed.insert((execution, connection));
            }
        }
        for (execution, connection) in changed {
            self.review_belts(execution, connection);
        }
    }

    /// An execution has no unfinished job left.
    pub fn close(&mut self, execution: ExecutionSeq) {
        let Some(state) = self.executions.remove(&execution) else {
            return;
        };
        for id in state.belts.into_keys() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection
                    .window
                    .drop_lanes(&lanes_of(connection, execution, 0..=u32::MAX));
                connection
                    .call_caps
                    .retain(|job, _| job.execution() != execution);
            }
            self.touch(id);
        }
    }

    /// An execution was paused or resumed.
    pub fn pause(&mut self, execution: ExecutionSeq, paused: bool) {
        let Some(state) = self.executions.get_mut(&execution) else {
            return;
        };
        if std::mem::replace(&mut state.paused, paused) == paused {
            return;
        }
        let connections: Vec<_> = state.belts.keys().copied().collect();
        for id in connections {
            if !paused {
                self.review_belts(execution, id);
            } else if let Some(connection) = self.connections.get_mut(&id) {
                connection
                    .window
                    .drop_lanes(&lanes_of(connection, execution, 0..=u32::MAX));
                self.touch(id);
            }
        }
    }

    /// Whether a belt may start. `None`: the belt is not known here.
    pub(super) fn belt_gate(
        &self,
        execution: ExecutionSeq,
        connection: ConnectionId,
        belt: u32,
    ) -> Option<BeltGate> {
        let on_failure = self.connection(connection)?.rules.belt_on_failure;
        let belts = self.executions.get(&execution)?.belts.get(&connection)?;
        let index = belts.iter().position(|b| b.belt == belt)?;
        Some(gate(belts, index, on_failure))
    }

    /// Opens the belts that may open, makes missing lanes of open belts, and drops the lanes of
    /// finished belts.
    pub(super) fn review_belts(&mut self, execution: ExecutionSeq, connection: ConnectionId) {
        let Some(state) = self.executions.get_mut(&execution) else {
            return;
        };
        let Some(target) = self.connections.get_mut(&connection).filter(|c| !c.removed) else {
            return;
        };
        let Some(belts) = state.belts.get_mut(&connection) else {
            return;
        };
        let on_failure = target.rules.belt_on_failure;
        for index in 0..belts.len() {
            let number = belts[index].belt;
            if belts[index].finished() >= belts[index].total {
                target
                    .window
                    .drop_lanes(&lanes_of(target, execution, number..=number));
                continue;
            }
            match gate(belts, index, on_failure) {
                BeltGate::Open => {
                    if !belts[index].opened {
                        belts[index].opened = true;
                        self.needs.push_back(Need::OpenBelt {
                            execution,
                            connection,
                            belt: number,
                        });
                    }
                    if !state.paused {
                        make_lanes(target, execution, &belts[index]);
                    }
                }
                BeltGate::Aborted if !state.aborted.contains(&(connection, number)) => {
                    state
                        .aborted
                        .extend(belts[index..].iter().map(|b| (connection, b.belt)));
                    self.needs.push_back(Need::AbortBelts {
                        execution,
                        connection,
                        belt: number,
                    });
                }
                BeltGate::Aborted | BeltGate::Closed | BeltGate::Held => {}
            }
        }
        self.touch(connection);
    }
}

fn make_lanes(connection: &mut Connection, execution: ExecutionSeq, belt: &BeltProgress) {
    for priority in belt.priorities() {
        connection.window.make_lane(LaneKey {
            connection: connection.rules.connection,
            execution,
            belt: belt.belt,
            priority,
        });
    }
}

fn lanes_of(
    connection: &Connection,
    execution: ExecutionSeq,
    belts: RangeInclusive<u32>,
) -> Vec<LaneKey> {
    let id = connection.rules.connection;
    let first = LaneKey {
        connection: id,
        execution,
        belt: *belts.start(),
        priority: i8::MIN,
    };
    let last = LaneKey {
        connection: id,
        execution,
        belt: *belts.end(),
        priority: i8::MAX,
    };
    connection
        .window
        .lanes
        .range(first..=last)
        .map(|(key, _)| *key)
        .collect()
}
