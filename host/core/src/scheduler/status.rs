//! What the scheduler can say about why jobs wait.

use super::connection::Availability;
use super::head::LaneKey;
use super::scheduler::Scheduler;
use super::window::SlotState;
use crate::domain::belt::BeltGate;
use crate::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use crate::domain::waiting::WaitingKind;
use crate::time::Mono;

/// Why a connection starts no further call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The reason: limit, turn, paused, parked or circuit.
    pub kind: WaitingKind,
    /// The limit's key, what was said of a park, the bound that a turn waits for.
    pub key: Option<String>,
    pub until: Option<Mono>,
}

/// Why the ready jobs of one belt wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneStatus {
    /// The reason of those that nothing of their own holds.
    pub blocked: Blocked,
    /// The reason lies in their execution (a pause, a belt), and so it comes before the order in
    /// their keys.
    pub own: bool,
    /// Jobs that stand behind an unfinished job of their key, as read so far.
    pub held: u64,
}

impl Scheduler {
    /// Why ready jobs of a belt are not being sent: its belt, a pause, its connection's availability or
    /// limits, or their turn.
    #[must_use]
    pub fn lane_status(
        &self,
        execution: ExecutionSeq,
        connection: ConnectionId,
        belt: u32,
    ) -> LaneStatus {
        let plain = |kind, own| LaneStatus {
            blocked: Blocked {
                kind,
                key: None,
                until: None,
            },
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
        let blocked = blocked_by(&state.availability)
            .or_else(|| state.blocked.clone())
            .unwrap_or(Blocked {
                kind: WaitingKind::Turn,
                key: None,
                until: None,
            });
        LaneStatus {
            blocked,
            own: false,
            held,
        }
    }

    /// Whether a job stands behind another job of its object that has another key, as far as both
    /// are loaded.
    #[must_use]
    pub fn waits_for_object(&self, connection: ConnectionId, job: JobSeq) -> bool {
        let slot = self
            .connection(connection)
            .and_then(|state| state.slots.get(state.jobs.get(&job)?));
        slot.is_some_and(|slot| slot.state == SlotState::Behind)
    }

    /// Heads of a connection that are loaded, and calls of it under way.
    #[must_use]
    pub fn load_of(&self, connection: ConnectionId) -> (usize, u32) {
        self.connection(connection)
            .map_or((0, 0), |c| (c.loaded, c.calls))
    }

    /// Whether jobs of the connection are ready that only a limit holds.
    #[must_use]
    pub fn waits_for_limit(&self, connection: ConnectionId) -> bool {
        self.connection(connection).is_some_and(|c| {
            c.loaded > 0
                && c.availability == Availability::Open
                && c.blocked
                    .as_ref()
                    .is_some_and(|b| b.kind == WaitingKind::Limit)
        })
    }
}

pub(super) fn blocked_by(availability: &Availability) -> Option<Blocked> {
    match availability {
        Availability::Open => None,
        Availability::Paused => Some(Blocked {
            kind: WaitingKind::Paused,
            key: None,
            until: None,
        }),
        Availability::Parked(reason) => Some(Blocked {
            kind: WaitingKind::Parked,
            key: Some(reason.clone()),
            until: None,
        }),
        Availability::CircuitOpen(until) => Some(Blocked {
            kind: WaitingKind::Circuit,
            key: None,
            until: Some(*until),
        }),
    }
}
