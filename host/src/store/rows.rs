//! What goes into the store and comes out of it: rows, not behaviour.

use std::collections::BTreeMap;

use egression_core::domain::action::Action;
use egression_core::domain::belt::BeltProgress;
use egression_core::domain::ids::{ConnectionId, ExecutionId, ExecutionSeq, JobSeq, SourceId, SubscriptionId};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

/// String pairs that tie work to the caller's workflow.
pub type Context = BTreeMap<String, String>;

// ------------------------------------------------------------------ submission

/// An execution about to be received.
#[derive(Clone, Debug)]
pub struct NewExecution {
    /// Its public id.
    pub id: ExecutionId,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// `jobs` or `bulk`.
    pub operation: &'static str,
    /// As given with the request.
    pub context: Option<Context>,
    /// W3C Trace Context of the caller.
    pub traceparent: Option<String>,
    /// Now.
    pub created_at: Wall,
}

/// A job as it is received, or a line that was refused.
#[derive(Clone, Debug)]
pub enum StagedItem {
    /// A job.
    Job(StagedJob),
    /// A refused line of a bulk request: kept with its problem, counted once in total and rejected.
    Refused {
        /// Its index in the execution.
        index: u32,
        /// At most 200 bytes of what was given.
        excerpt: String,
        /// The object, as far as it could be read.
        object: Option<ObjectKey>,
        /// What is wrong.
        problem: Problem,
    },
}

/// A job with everything that acceptance fixes.
#[derive(Clone, Debug)]
pub struct StagedJob {
    /// Its index in the execution.
    pub index: u32,
    /// Subscription × channel.
    pub connection: ConnectionId,
    /// The belt, from 1.
    pub belt: u32,
    /// The object.
    pub object: ObjectKey,
    /// What to do.
    pub action: Action,
    /// −10 … 10, higher first.
    pub priority: i8,
    /// The key's text if it is not the object's own (`type:id`).
    pub partition_key: Option<String>,
    /// Where the body is read. None: `payload`, or a delete.
    pub source: Option<SourceId>,
    /// Not before; none or past: now.
    pub scheduled_at: Option<Wall>,
    /// Not after.
    pub expires_at: Option<Wall>,
    /// The caller's own word for the job.
    pub client_ref: Option<String>,
    /// Pairs beyond those of the execution.
    pub context: Option<Context>,
    /// Objects that must be there first.
    pub depends_on: Vec<ObjectKey>,
    /// The inline body: JSON text.
    pub payload: Option<String>,
    /// The inline body is the whole object.
    pub full: bool,
    /// The source's revision of the inline body.
    pub revision: Option<u64>,
    /// W3C Trace Context of the job's own.
    pub traceparent: Option<String>,
}

/// Written in the transaction that seals an execution.
#[derive(Clone, Debug)]
pub struct IdempotencyMark {
    /// `jobs` or `bulk`.
    pub operation: &'static str,
    /// The caller's key.
    pub key: String,
    /// SHA-256 of the request's body as sent, after decoding.
    pub body_hash: [u8; 32],
}

/// An idempotency key that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// What the first request made.
    pub execution: ExecutionSeq,
    /// SHA-256 of its body.
    pub body_hash: [u8; 32],
}

/// A sealed execution: durable, and visible to the scheduler.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Its number.
    pub execution: ExecutionSeq,
    /// Its place among all executions.
    pub seal: i64,
}

// ------------------------------------------------------------------ tracking

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

// ------------------------------------------------------------------ scheduling

pub use egression_core::scheduler::{Head as HeadRow, LaneKey};

/// A page of a lane.
#[derive(Clone, Debug, Default)]
pub struct LanePage {
    /// Jobs that are the heads of their keys.
    pub heads: Vec<HeadRow>,
    /// Jobs behind an unfinished job of their key: their keys. They come up when that job is done.
    pub held: Vec<KeyHash>,
    /// Jobs whose key is blocked; the caller marks them.
    pub blocked: Vec<JobSeq>,
    /// The number to go on after; none: the lane is read to its end.
    pub next: Option<JobSeq>,
}

/// An execution that has unfinished jobs.
#[derive(Clone, Debug)]
pub struct OpenExecution {
    /// Its number.
    pub seq: ExecutionSeq,
    /// Its public id.
    pub id: ExecutionId,
    /// Its place among all executions.
    pub seal: i64,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// Paused by a person.
    pub paused: bool,
    /// Its belts, ascending by connection and belt.
    pub progress: Vec<ProgressRow>,
}

// ------------------------------------------------------------------ delivery

/// All that a delivery needs to know of a job.
#[derive(Clone, Debug)]
pub struct ClaimRow {
    /// Its number.
    pub job: JobSeq,
    /// Where it stands: `waiting`, unless it was cancelled meanwhile.
    pub state: JobState,
    /// The object.
    pub object: ObjectKey,
    /// What was asked for.
    pub action: Action,
    /// Attempts spent.
    pub attempts: u32,
    /// Conflicts handed back so far.
    pub conflicts: u32,
    /// Where the body is read.
    pub source: Option<SourceId>,
    /// The inline body.
    pub payload: Option<String>,
    /// The revision given with the inline body.
    pub revision: Option<u64>,
    /// Objects that must be there first, as given.
    pub depends_on: Vec<ObjectKey>,
    /// Not after.
    pub expires_at: Option<Wall>,
    /// Since when it waits for other objects; kept over repeats.
    pub waits_since: Option<Wall>,
    /// W3C Trace Context of the job or its execution.
    pub traceparent: Option<String>,
    /// What an earlier attempt pinned.
    pub pinned: Option<Pinned>,
    /// What is known of the object at the destination.
    pub remotes: Vec<Remote>,
    /// The newest revision delivered there.
    pub delivered_revision: Option<u64>,
}

/// The bytes of an attempt whose outcome is not known to be 'not applied': a repeat sends the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// What was sent as.
    pub action: Action,
    /// JSON text; none for a delete.
    pub body: Option<String>,
    /// SHA-256 of it.
    pub body_hash: [u8; 32],
    /// The body's revision.
    pub revision: Option<u64>,
    /// The same for every repeat.
    pub idempotency_key: String,
    /// An answer was lost before.
    pub answer_lost: bool,
}

/// The durable note that a job is about to be sent.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// The job; it must be `waiting`.
    pub job: JobSeq,
    /// The call that it goes with.
    pub call: i64,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The bytes.
    pub pinned: Pinned,
    /// What led here: resolved …
    pub events: Vec<NewEvent>,
}

/// The end, or not yet, of one job's attempt. Settled in one transaction with id map, counters and events.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The job.
    pub job: JobSeq,
    /// The call whose intent is settled; none: the job was not in flight (it ended or waits before any intent).
    pub call: Option<i64>,
    /// What it becomes.
    pub to: Transition,
    /// Attempts spent, this one included.
    pub attempts: u32,
    /// Conflicts handed back, this one included.
    pub conflicts: u32,
    /// What becomes of the id map.
    pub id_map: IdMapChange,
    /// From now on the job is sent as this action.
    pub act_as: Option<Action>,
    /// The revision that is now there.
    pub delivered_revision: Option<u64>,
    /// History.
    pub events: Vec<NewEvent>,
}

/// What a job becomes.
#[derive(Clone, Debug)]
pub enum Transition {
    /// It ends.
    Ended {
        /// A terminal state.
        state: JobState,
        /// The code that groups it: the problem's, or `retries_exhausted` …
        code: Option<String>,
        /// Why, for people.
        problem: Option<Problem>,
        /// False: it was there already, the same.
        changed: Option<bool>,
        /// The key is blocked behind it, with this reason.
        block_key: Option<String>,
    },
    /// It may go again: at once (`reason: None`) or when the reason ends.
    Waits {
        /// A stored kind; none: ready.
        reason: Option<WaitingKind>,
        /// When that ends by itself.
        until: Option<Wall>,
        /// Dependency: the objects, with the unfinished job of each if one is known.
        parents: Vec<(ObjectKey, Option<JobSeq>)>,
        /// Why, for people.
        problem: Option<Problem>,
        /// Keep the bytes: the outcome is not known to be 'not applied'.
        keep_pinned: bool,
        /// The answer was lost.
        answer_lost: bool,
    },
}

/// What becomes of the id map.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum IdMapChange {
    /// Nothing.
    #[default]
    Keep,
    /// The object is there as these.
    Replace(Vec<Remote>),
    /// It is not there any more.
    Drop,
}

/// What a settlement (or a cancel, an expiry) changed for the scheduler.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New counters of the belts touched.
    pub progress: Vec<ProgressRow>,
    /// Jobs whose settlement did not apply: they were not in the state or call expected.
    pub stale: Vec<JobSeq>,
    /// Children that are ready now.
    pub released: Vec<JobSeq>,
    /// Children whose wait ends now because the parent ended without success; the caller ends or re-times them.
    pub orphaned: Vec<JobSeq>,
    /// Keys that were blocked.
    pub blocked: Vec<(ConnectionId, KeyHash)>,
    /// Executions whose last job became terminal.
    pub completed: Vec<ExecutionSeq>,
    /// Jobs that ended or moved outside of a call (cancelled, expired), to be forgotten by the scheduler.
    pub gone: Vec<JobSeq>,
}

/// An intent that was open when the host died.
#[derive(Clone, Debug)]
pub struct OpenIntent {
    /// The job.
    pub job: JobSeq,
    /// Subscription × channel.
    pub connection: ConnectionId,
    /// The call it went with.
    pub call: i64,
    /// The number of the attempt.
    pub attempt: u32,
    /// The object.
    pub object: ObjectKey,
    /// What was sent as.
    pub action: Action,
}
