//! Why jobs wait, as the scheduler knows it.

use std::cmp::Reverse;

use super::availability::Blocked;
use super::head::LaneKey;
use super::memory::SlotState;
use super::scheduler::Scheduler;
use crate::domain::belt::BeltGate;
use crate::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use crate::domain::state::JobState;
use crate::domain::waiting::WaitingKind;

/// The jobs that one limit holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldJobs {
    /// Waiting jobs of open belts.
    pub jobs: u64,
    /// Loaded jobs whose body an earlier attempt pinned: it may have been applied.
    pub pinned: u64,
    /// The first loaded jobs, in the order of priority and place.
    pub first: Vec<JobSeq>,
}

/// Why the ready jobs of one belt wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// The reason for jobs that no reason of their own holds.
    pub blocked: Blocked,
    /// The reason lies in their execution (a pause or a belt), so it takes precedence over the
    /// order in their keys.
    pub own: bool,
    /// Jobs behind an unfinished job of their key, as read so far.
    pub held: u64,
}

impl Scheduler {
    /// Why ready jobs of a belt are not sent: their belt, a pause, their connection's availability
    /// or limits, or their turn.
    pub fn lane_status(
        &self,
        execution: ExecutionSeq,
        connection: ConnectionId,
        belt: u32,
    ) -> LaneStatus {
        let plain = |kind, own| LaneStatus {
            blocked: Blocked::plain(kind),
            own,
            held: 0,
        };
        let Some(state) = self.connection(connection) else {
            return plain(WaitingKind::Turn, false);
        };
        if self.executions.get(&execution).is_some_and(|e| e.paused) {
            return plain(WaitingKind::Paused, true);
        }
        match self.belt_gate(execution, connection, belt) {
            Some(BeltGate::Closed | BeltGate::Aborted) => return plain(WaitingKind::Belt, true),
            Some(BeltGate::Held) => return plain(WaitingKind::BeltHold, true),
            Some(BeltGate::Open) | None => {}
        }
        let held = state
            .window
            .lanes
            .range(
                LaneKey {
                    connection,
                    execution,
                    belt,
                    priority: i8::MIN,
                }..=LaneKey {
                    connection,
                    execution,
                    belt,
                    priority: i8::MAX,
                },
            )
            .map(|(_, lane)| lane.held)
            .sum();
        let blocked = Blocked::by(&state.availability)
            .or_else(|| state.blocked.clone())
            .unwrap_or(Blocked::plain(WaitingKind::Turn));
        LaneStatus {
            blocked,
            own: false,
            held,
        }
    }

    /// Whether a job waits behind another job of its object that has another key, if both are
    /// loaded.
    pub fn waits_for_object(&self, connection: ConnectionId, job: JobSeq) -> bool {
        let slot = self
            .connection(connection)
            .and_then(|state| state.window.slots.get(state.window.jobs.get(&job)?));
        slot.is_some_and(|slot| slot.state == SlotState::Behind)
    }

    /// Loaded heads of a connection, and its calls in flight.
    pub fn load_of(&self, connection: ConnectionId) -> (usize, u32) {
        self.connection(connection)
            .map_or((0, 0), |c| (c.window.loaded, c.calls))
    }

    /// The jobs that this limit holds, of all its connections; the first `most` of them by name.
    pub fn held_by_limit(&self, key: &str, most: usize) -> HeldJobs {
        let is_held = |blocked: &Blocked| {
            blocked.kind == WaitingKind::Limit && blocked.key.as_deref() == Some(key)
        };
        let mut held = HeldJobs::default();
        let mut heads = Vec::new();
        for (id, connection) in &self.connections {
            if !connection.has_candidates() || !connection.blocked.as_ref().is_some_and(is_held) {
                continue;
            }
            held.jobs += self.open_jobs(*id);
            let loaded = connection.window.slots.values();
            heads.extend(
                loaded
                    .filter(|slot| slot.state == SlotState::InLane)
                    .map(|s| s.head),
            );
        }
        heads.sort_unstable_by_key(|head| (Reverse(head.priority), head.order()));
        held.pinned = heads.iter().filter(|head| head.pinned).count() as u64;
        held.first = heads.iter().take(most).map(|head| head.job).collect();
        held
    }

    /// Waiting jobs of the open belts of a connection, without those that are set aside.
    fn open_jobs(&self, connection: ConnectionId) -> u64 {
        let running = self
            .executions
            .values()
            .filter(|execution| !execution.paused);
        running
            .filter_map(|execution| execution.belts.get(&connection))
            .flatten()
            .filter(|belt| belt.opened)
            .map(|belt| belt.states[JobState::Waiting as usize].saturating_sub(belt.set_aside))
            .sum()
    }

    /// Whether only a limit holds ready jobs of the connection.
    pub fn waits_for_limit(&self, connection: ConnectionId) -> bool {
        self.connection(connection).is_some_and(|c| {
            c.has_candidates()
                && c.blocked
                    .as_ref()
                    .is_some_and(|b| b.kind == WaitingKind::Limit)
        })
    }
}
