//! A call that the scheduler starts, and what becomes of its jobs.

use super::head::Head;
use crate::domain::ids::{ConnectionId, TypeHash};

/// One call to start, with its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub connection: ConnectionId,
    /// The object type of all its jobs.
    pub type_hash: TypeHash,
    pub heads: Vec<Head>,
    /// Estimated requests, to be reserved at the gate.
    pub requests: u32,
}

/// Where a job goes after its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCall {
    /// It ended, or only the store knows it now. The scheduler forgets it.
    Left,
    /// It waits for something that the store keeps. The scheduler remembers only its call cap.
    Waits {
        /// The most items in its next call; `None`: as before.
        call_cap: Option<u32>,
    },
    /// It may go again at once.
    Again {
        /// Attempts spent so far.
        attempts: u32,
        pinned: bool,
        /// The most items in its next call; `None`: as before.
        call_cap: Option<u32>,
    },
}
