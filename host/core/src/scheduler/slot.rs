//! The jobs in memory, by key and by object.

use std::collections::BTreeMap;

use super::head::{Head, LaneKey};
use crate::domain::ids::JobSeq;
use crate::time::Mono;

/// The one job in memory of its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) head: Head,
    pub(super) state: SlotState,
    pub(super) since: Mono,
    /// Another job of the key was seen.
    pub(super) more: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    InLane,
    /// Behind another job of its object.
    Behind,
    InFlight,
}

impl Slot {
    /// It waits for its object and belongs to one of these lanes.
    pub(super) fn waits_in(&self, lanes: &[LaneKey]) -> bool {
        self.state == SlotState::Behind && lanes.contains(&self.head.lane())
    }
}

/// An object with jobs in memory.
#[derive(Debug)]
pub(super) struct Object {
    /// The one that may go or is in flight.
    pub(super) occupant: JobSeq,
    /// Those that wait for it, oldest first.
    pub(super) behind: BTreeMap<(i64, u32, JobSeq), Head>,
}
