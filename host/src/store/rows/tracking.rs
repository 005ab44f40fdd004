//! What people ask for: executions, jobs, events.

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

/// An execution as stored.
#[derive(Clone, Debug)]
pub struct ExecutionRow {
    /// Its number.
    pub seq: ExecutionSeq,
    /// Its public id.
    pub id: ExecutionId,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// `jobs` or `bulk`.
    pub operation: String,
    /// None while it is being received.
    pub seal: Option<i64>,
    /// When the request came.
    pub created_at: Wall,
    /// When its last job became terminal.
    pub completed_at: Option<Wall>,
    /// When it will be forgotten.
    pub expires_at: Option<Wall>,
    /// Paused by a person.
    pub paused: bool,
    /// When cancelling was asked for.
    pub cancel_requested_at: Option<Wall>,
    /// As given.
    pub context: Option<Context>,
    /// W3C Trace Context of the caller.
    pub traceparent: Option<String>,
    /// The execution that this one repeats.
    pub retry_of: Option<ExecutionId>,
}

/// Progress of one belt on one connection. Refused items are counted under connection 0, belt 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressRow {
    /// The execution.
    pub execution: ExecutionSeq,
    /// Subscription × channel; 0 for refused items.
    pub connection: ConnectionId,
    /// The counters.
    pub belt: BeltProgress,
    /// Waiting for their time.
    pub scheduled: u64,
    /// Waiting for the next attempt.
    pub retrying: u64,
    /// Waiting for the source.
    pub sourcing: u64,
    /// Waiting behind a blocked key, or at its head.
    pub blocked: u64,
    /// An intent of the belt was ever committed: something of it may have been sent.
    pub sent: bool,
}

/// Errors of one kind in an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorGroup {
    /// The problem's code.
    pub code: String,
    /// How the jobs ended.
    pub state: JobState,
    /// How many.
    pub jobs: u64,
    /// One of them.
    pub example: JobSeq,
}

/// An execution with its counters, read in one snapshot.
#[derive(Clone, Debug)]
pub struct ExecutionStatus {
    /// The execution.
    pub row: ExecutionRow,
    /// Ascending by connection and belt.
    pub progress: Vec<ProgressRow>,
    /// The twenty largest groups.
    pub errors: Vec<ErrorGroup>,
    /// When stored waits end by themselves, the earliest of each kind in a belt.
    pub wait_ends: Vec<WaitEnd>,
}

/// When the earliest wait of a kind ends by itself in a belt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitEnd {
    /// The execution.
    pub execution: ExecutionSeq,
    /// Subscription × channel.
    pub connection: ConnectionId,
    /// The belt.
    pub belt: u32,
    /// What is waited for.
    pub kind: WaitingKind,
    /// Until when.
    pub at: Wall,
}

impl ExecutionStatus {
    /// When the first of a belt's waits of a kind ends by itself, if one does.
    #[must_use]
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
    /// Of one subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only unfinished (`false`) or finished (`true`) ones.
    pub done: Option<bool>,
    /// With these pairs in their context.
    pub context: Context,
    /// Older than this one.
    pub before: Option<ExecutionSeq>,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In one of these states; empty: any.
    pub states: Vec<JobState>,
    /// Of one object id.
    pub object_id: Option<String>,
    /// Of one object type.
    pub object_type: Option<String>,
    /// On one of these connections; empty: any.
    pub connections: Vec<ConnectionId>,
    /// With this problem code.
    pub problem_code: Option<String>,
}

/// A job as stored, without its body.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its number.
    pub seq: JobSeq,
    /// Its execution's public id.
    pub execution: ExecutionId,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// Subscription × channel; 0 for a refused item.
    pub connection: ConnectionId,
    /// The belt, from 1; 0 for a refused item.
    pub belt: u32,
    /// The object; empty texts for a refused item whose object could not be read.
    pub object: ObjectKey,
    /// The key.
    pub partition_key: String,
    /// What to do.
    pub action: Action,
    /// −10 … 10.
    pub priority: i8,
    /// Where it stands.
    pub state: JobState,
    /// The stored waiting reason, if it has one.
    pub waiting: Option<WaitingKind>,
    /// When that ends by itself.
    pub due_at: Option<Wall>,
    /// Attempts spent.
    pub attempts: u32,
    /// Where the body is read.
    pub source: Option<SourceId>,
    /// Not after.
    pub expires_at: Option<Wall>,
    /// When it ended.
    pub finished_at: Option<Wall>,
    /// False: it was there already, the same.
    pub changed: Option<bool>,
    /// The code under which its execution's errors count it: of its end, or of what went wrong
    /// last.
    pub code: Option<String>,
    /// What went wrong last.
    pub problem: Option<Problem>,
    /// The caller's own word for the job.
    pub client_ref: Option<String>,
    /// A refused item: the first bytes of what was given.
    pub excerpt: Option<String>,
    /// The job sent in its place.
    pub merged_into: Option<JobSeq>,
    /// When its execution was accepted.
    pub created_at: Wall,
    /// Not before.
    pub scheduled_at: Option<Wall>,
    /// W3C Trace Context of the job, else of its execution.
    pub traceparent: Option<String>,
    /// When its execution will be forgotten, once that is done.
    pub kept_until: Option<Wall>,
}

/// One line of a job's history.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Ascending inside the job, from 1.
    pub seq: u32,
    /// When.
    pub at: Wall,
    /// submitted, resolved, sent, responded, rescheduled, succeeded …
    pub stage: String,
    /// The attempt that it belongs to.
    pub attempt: Option<u32>,
    /// The destination's answer.
    pub http_status: Option<u16>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// JSON object or a sentence.
    pub detail: Option<String>,
    /// The connector's own lines: JSON list of {level, message, attrs}.
    pub log: Option<String>,
}

/// One line of a job's history to be written; its number is drawn by the store.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// When it happened.
    pub at: Wall,
    /// submitted, resolved, sent, responded, rescheduled, succeeded …
    pub stage: &'static str,
    /// The attempt that it belongs to.
    pub attempt: Option<u32>,
    /// The destination's answer.
    pub http_status: Option<u16>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// JSON object or a sentence.
    pub detail: Option<String>,
    /// The connector's own lines: JSON list of {level, message, attrs}.
    pub log: Option<String>,
}
