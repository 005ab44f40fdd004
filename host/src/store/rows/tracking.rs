//! The rows that the API shows: executions, jobs, events.

use super::Context;
use egression_core::domain::action::Action;
use egression_core::domain::belt::BeltProgress;
use egression_core::domain::ids::{
    ConnectionId, ExecutionId, ExecutionSeq, JobSeq, SourceId, SubscriptionId,
};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

#[derive(Clone, Debug)]
pub struct ExecutionRow {
    pub seq: ExecutionSeq,
    pub id: ExecutionId,
    pub subscription: SubscriptionId,
    /// None while it is being received.
    pub seal: Option<i64>,
    pub created_at: Wall,
    /// When its last job became terminal.
    pub completed_at: Option<Wall>,
    /// When it will be removed.
    pub expires_at: Option<Wall>,
    pub paused: bool,
    /// When a cancel was requested.
    pub cancel_requested_at: Option<Wall>,
    pub context: Option<Context>,
    /// W3C Trace Context of the caller.
    #[cfg_attr(not(test), expect(dead_code, reason = "evidence for tests"))]
    pub traceparent: Option<String>,
    /// The execution that this one repeats.
    pub retry_of: Option<ExecutionId>,
    /// Refused items. They count as rejected jobs, and belong to no belt.
    pub refused: u64,
}

/// Progress of one belt on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressRow {
    pub execution: ExecutionSeq,
    pub connection: ConnectionId,
    pub belt: BeltProgress,
    pub scheduled: u64,
    /// Waiting for the next attempt.
    pub retrying: u64,
    pub sourcing: u64,
    /// Waiting behind a blocked key, or at its head.
    pub blocked: u64,
    /// An intent of the belt was committed at some time, so some of it may have been sent.
    pub sent: bool,
}

/// Errors of one kind in an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorGroup {
    pub code: String,
    pub state: JobState,
    pub jobs: u64,
    pub example: JobSeq,
}

/// An execution with its counters, read in one snapshot.
#[derive(Clone, Debug)]
pub struct ExecutionStatus {
    pub row: ExecutionRow,
    /// Ascending by connection and belt.
    pub progress: Vec<ProgressRow>,
    pub errors: Vec<ErrorGroup>,
    /// When time ends the stored waits: the earliest of each kind in a belt.
    pub wait_ends: Vec<WaitEnd>,
}

/// When time ends the earliest wait of a kind in a belt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitEnd {
    pub execution: ExecutionSeq,
    pub connection: ConnectionId,
    pub belt: u32,
    pub kind: WaitingKind,
    pub at: Wall,
}

impl ExecutionStatus {
    /// When time ends the first of a belt's waits of a kind.
    pub fn first_end(&self, row: &ProgressRow, kind: WaitingKind) -> Option<Wall> {
        let of_belt = |end: &&WaitEnd| {
            (end.connection, end.belt, end.kind) == (row.connection, row.belt.belt, kind)
        };
        self.wait_ends.iter().find(of_belt).map(|end| end.at)
    }
}

/// Which executions to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct ExecutionFilter {
    pub subscription: Option<SubscriptionId>,
    /// Only unfinished (`false`) or finished (`true`) ones.
    pub done: Option<bool>,
    /// With these pairs in their context.
    pub context: Context,
    pub before: Option<ExecutionSeq>,
}

#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In one of these states; empty: any.
    pub states: Vec<JobState>,
    pub object_id: Option<String>,
    pub object_type: Option<String>,
    /// On one of these connections; empty: any.
    pub connections: Vec<ConnectionId>,
    pub problem_code: Option<String>,
}

/// A job as stored, without its body.
#[derive(Clone, Debug)]
pub struct JobRow {
    pub seq: JobSeq,
    pub execution: ExecutionId,
    pub subscription: SubscriptionId,
    /// Subscription × channel; none for a refused item.
    pub connection: Option<ConnectionId>,
    /// The belt, from 1; 0 for a refused item.
    pub belt: u32,
    /// The object; empty texts for a refused item whose object could not be read.
    pub object: ObjectKey,
    pub partition_key: String,
    pub action: Action,
    pub state: JobState,
    /// The stored waiting reason, if it has one.
    pub waiting: Option<WaitingKind>,
    /// When time ends it.
    pub due_at: Option<Wall>,
    pub attempts: u32,
    /// Where the body is read.
    pub source: Option<SourceId>,
    pub expires_at: Option<Wall>,
    pub finished_at: Option<Wall>,
    /// False: it was there already, unchanged.
    pub changed: Option<bool>,
    /// The code of its end, or of its last problem.
    pub code: Option<String>,
    pub problem: Option<Problem>,
    /// The caller's name for the job.
    pub client_ref: Option<String>,
    /// A refused item: the first bytes of the line.
    pub excerpt: Option<String>,
    /// The job sent in its place.
    pub merged_into: Option<JobSeq>,
    /// When its execution was accepted.
    pub created_at: Wall,
    pub scheduled_at: Option<Wall>,
    /// The W3C Trace Context of the job or, without one, of its execution.
    pub traceparent: Option<String>,
    /// When its finished execution will be removed.
    pub kept_until: Option<Wall>,
}

/// One line of a job's history.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Ascending inside the job, from 1.
    pub seq: u32,
    pub at: Wall,
    /// submitted, resolved, sent, responded, rescheduled, succeeded …
    pub stage: String,
    /// Its attempt.
    pub attempt: Option<u32>,
    pub http_status: Option<u16>,
    pub duration_ms: Option<u64>,
    /// JSON object or a sentence.
    pub detail: Option<String>,
    /// The connector's own lines: JSON list of {level, message, attrs}.
    pub log: Option<String>,
}

/// A new line of a job's history; the store numbers it.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub at: Wall,
    /// submitted, resolved, sent, responded, rescheduled, succeeded …
    pub stage: &'static str,
    /// Its attempt.
    pub attempt: Option<u32>,
    pub http_status: Option<u16>,
    pub duration_ms: Option<u64>,
    /// JSON object or a sentence.
    pub detail: Option<String>,
    /// The connector's own lines: JSON list of {level, message, attrs}.
    pub log: Option<String>,
}
