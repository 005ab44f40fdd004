//! Reads and writes of the store that the scheduler needs.

use super::head::LaneKey;
use crate::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use crate::domain::partition::KeyHash;

/// A read or a write that the host does for the scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Read the next ready jobs of a lane and answer with
    /// [`Scheduler::page`](super::Scheduler::page).
    Page {
        lane: LaneKey,
        /// Start after this job.
        after: Option<JobSeq>,
    },
    /// Find the head of a key and answer with [`Scheduler::found`](super::Scheduler::found).
    Head {
        connection: ConnectionId,
        key: KeyHash,
    },
    /// Store that a belt is open.
    OpenBelt {
        execution: ExecutionSeq,
        connection: ConnectionId,
        belt: u32,
    },
    /// Cancel the waiting jobs of the belts from this one on.
    AbortBelts {
        execution: ExecutionSeq,
        connection: ConnectionId,
        /// The first belt to cancel.
        belt: u32,
    },
}
