//! The rows that the scheduler reads.

use super::ProgressRow;
use egression_core::domain::ids::{ExecutionSeq, JobSeq};
use egression_core::domain::partition::KeyHash;

pub use egression_core::scheduler::{Head as HeadRow, LaneKey};

/// A page of a lane.
#[derive(Clone, Debug, Default)]
pub struct LanePage {
    /// Jobs that are the heads of their keys.
    pub heads: Vec<HeadRow>,
    /// The keys of jobs behind an unfinished job of their key. They follow when that job is done.
    pub held: Vec<KeyHash>,
    /// Jobs whose key is blocked; the caller sets them aside.
    pub blocked: Vec<JobSeq>,
    /// The number to continue after; none: the lane ends here.
    pub next: Option<JobSeq>,
}

/// An execution that has unfinished jobs.
#[derive(Clone, Debug)]
pub struct OpenExecution {
    pub seq: ExecutionSeq,
    pub paused: bool,
    /// Its belts, ascending by connection and belt.
    pub progress: Vec<ProgressRow>,
}
