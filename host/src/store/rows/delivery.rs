//! What a delivery claims, notes and settles.

use super::{NewEvent, ProgressRow};
use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, SourceId};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

/// All that a delivery needs to know of a job.
#[derive(Clone, Debug)]
pub struct ClaimRow {
    pub job: JobSeq,
    /// Where it stands: `waiting`, unless it was cancelled meanwhile.
    pub state: JobState,
    pub object: ObjectKey,
    pub action: Action,
    pub attempts: u32,
    /// Conflicts handed back so far.
    pub conflicts: u32,
    /// Where the body is read.
    pub source: Option<SourceId>,
    pub payload: Option<String>,
    /// The revision given with the inline body.
    pub revision: Option<u64>,
    /// Objects that must be there first, as given.
    pub depends_on: Vec<ObjectKey>,
    pub expires_at: Option<Wall>,
    /// What it waited for last, or ended with.
    pub problem_code: Option<String>,
    /// Since when it waits for other objects; none: it does not.
    pub waits_since: Option<Wall>,
    /// W3C Trace Context of the job or its execution.
    pub traceparent: Option<String>,
    /// What an earlier attempt pinned.
    pub pinned: Option<Pinned>,
    /// What is known of the object at the destination.
    pub remotes: Vec<Remote>,
    /// The newest revision delivered there.
    pub delivered_revision: Option<u64>,
    /// How often it was delivered there.
    pub deliveries: u64,
}

/// The bytes of an attempt whose outcome is not known to be 'not applied': a repeat sends the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub action: Action,
    /// JSON text; none for a delete.
    pub body: Option<String>,
    /// SHA-256 of it.
    pub body_hash: [u8; 32],
    pub revision: Option<u64>,
    /// Where nobody names revisions of the object: the number of this delivery. Compared with no
    /// revision.
    pub counted: Option<u64>,
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
    pub events: Vec<NewEvent>,
}

/// The end, or not yet, of one job's attempt. Settled in one transaction with id map, counters and
/// events.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub job: JobSeq,
    /// The call whose intent is settled; none: the job was not in flight (it ended or waits before
    /// any intent).
    pub call: Option<i64>,
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
    pub events: Vec<NewEvent>,
}

#[derive(Clone, Debug)]
pub enum Transition {
    Ended {
        state: JobState,
        /// The code that groups it: the problem's, or `retries_exhausted` …
        code: Option<String>,
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
        problem: Option<Problem>,
        /// Keep the bytes: the outcome is not known to be 'not applied'.
        keep_pinned: bool,
        answer_lost: bool,
    },
}

/// What becomes of the id map.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum IdMapChange {
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
    /// Children whose wait ends now because the parent ended without success; the caller ends or
    /// re-times them.
    pub orphaned: Vec<JobSeq>,
    pub blocked: Vec<(ConnectionId, KeyHash)>,
    /// Executions whose last job became terminal.
    pub completed: Vec<ExecutionSeq>,
    /// Jobs that ended or moved outside of a call (cancelled, expired), to be forgotten by the
    /// scheduler.
    pub gone: Vec<JobSeq>,
}

/// An intent that was open when the host died.
#[derive(Clone, Debug)]
pub struct OpenIntent {
    pub job: JobSeq,
    pub connection: ConnectionId,
    /// The call it went with.
    pub call: i64,
    /// The number of the attempt.
    pub attempt: u32,
    pub object: ObjectKey,
    pub action: Action,
    /// Conflicts handed back so far.
    pub conflicts: u32,
}
