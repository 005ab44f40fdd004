//! The jobs in memory, by key and by object.

use std::collections::BTreeMap;

use crate::domain::ids::JobSeq;
use crate::scheduler::head::{Head, LaneKey};
use crate::time::Mono;

/// The one job in memory of its key.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub head: Head,
    pub state: SlotState,
    pub since: Mono,
    /// Another job of the key was seen.
    pub more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    InLane,
    /// Behind another job of its object.
    Behind,
    InFlight,
}

impl Slot {
    /// It waits for its object and belongs to one of these lanes.
    pub fn waits_in(&self, lanes: &[LaneKey]) -> bool {
        self.state == SlotState::Behind && lanes.contains(&self.head.lane())
    }
}

/// An object with jobs in memory.
#[derive(Debug)]
pub struct Object {
    /// The one that may go or is in flight.
    pub occupant: JobSeq,
    /// Those that wait for it, oldest first.
    pub behind: BTreeMap<(i64, u32, JobSeq), Head>,
}
