//! The rows of a delivery: claims, intents, settlements.

use super::{NewEvent, ProgressRow};
use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, SourceId};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

/// Everything that a delivery needs to know of a job.
#[derive(Clone, Debug)]
pub struct ClaimRow {
    pub job: JobSeq,
    /// `waiting`, unless the job was cancelled meanwhile.
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
    /// The code of its last problem, or of its end.
    pub problem_code: Option<String>,
    /// Since when it waits for other objects, if it does.
    pub waits_since: Option<Wall>,
    /// W3C Trace Context of the job or its execution.
    pub traceparent: Option<String>,
    /// The bytes that an earlier attempt pinned.
    pub pinned: Option<Pinned>,
    /// The object's ids at the destination.
    pub remotes: Vec<Remote>,
    /// The newest revision delivered there.
    pub delivered_revision: Option<u64>,
    /// The number of its deliveries there.
    pub deliveries: u64,
}

/// The bytes of an attempt. Unless it is proven that nothing was applied, a repeat sends the same
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    pub action: Action,
    /// JSON text; none for a delete.
    pub body: Option<String>,
    /// SHA-256 of it.
    pub body_hash: [u8; 32],
    pub revision: Option<u64>,
    /// If no source names the object's revision: the number of this delivery. It is never compared
    /// with a revision.
    pub counted: Option<u64>,
    /// The same for every repeat.
    pub idempotency_key: String,
    /// An earlier answer was lost.
    pub answer_lost: bool,
}

/// The durable record that a job is about to be sent.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// The job; it must be `waiting`.
    pub job: JobSeq,
    /// Its call.
    pub call: i64,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The bytes.
    pub pinned: Pinned,
    pub events: Vec<NewEvent>,
}

/// The result of one job's attempt, settled in one transaction with id map, counters and
/// events.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub job: JobSeq,
    /// The call whose intent is settled; none: the job was not in flight.
    pub call: Option<i64>,
    pub to: Transition,
    /// Attempts spent, this one included.
    pub attempts: u32,
    /// Conflicts handed back, this one included.
    pub conflicts: u32,
    pub id_map: IdMapChange,
    /// The job is sent as this action from now on.
    pub act_as: Option<Action>,
    /// The revision that is at the destination now.
    pub delivered_revision: Option<u64>,
    pub events: Vec<NewEvent>,
}

#[derive(Clone, Debug)]
pub enum Transition {
    Ended {
        /// A terminal state.
        end: State,
        /// Its key is blocked behind it, with this reason.
        block_key: Option<String>,
    },
    /// The job waits: it is ready at once (`reason: None`), or when the reason ends.
    Waits {
        /// A stored kind; none: ready.
        reason: Option<WaitingKind>,
        /// When time ends the reason.
        until: Option<Wall>,
        /// Dependency: the objects, with the unfinished job of each if one is known.
        parents: Vec<(ObjectKey, Option<JobSeq>)>,
        problem: Option<Problem>,
        /// Keep the bytes: it is not proven that nothing was applied.
        keep_pinned: bool,
        answer_lost: bool,
    },
}

/// The change of the id map.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum IdMapChange {
    #[default]
    Keep,
    /// The object has these ids.
    Replace(Vec<Remote>),
    /// The object is no longer there.
    Drop,
}

/// The changes of a settlement, a cancel or an expiry, for the scheduler.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New counters of the belts touched.
    pub progress: Vec<ProgressRow>,
    /// Jobs whose settlement did not apply: they were in another state or call.
    pub stale: Vec<JobSeq>,
    /// Children that are ready now.
    pub released: Vec<JobSeq>,
    /// Children whose parent ended without success. The caller ends them or gives them a new time.
    pub orphaned: Vec<JobSeq>,
    pub blocked: Vec<(ConnectionId, KeyHash)>,
    /// Executions whose last job became terminal.
    pub completed: Vec<ExecutionSeq>,
    /// Jobs that ended outside a call (cancelled, expired). The scheduler forgets them.
    pub gone: Vec<JobSeq>,
}

/// An intent that was open when the host died.
#[derive(Clone, Debug)]
pub struct OpenIntent {
    pub job: JobSeq,
    pub connection: ConnectionId,
    /// Its call.
    pub call: i64,
    /// The number of the attempt.
    pub attempt: u32,
    pub object: ObjectKey,
    pub action: Action,
    /// Conflicts handed back so far.
    pub conflicts: u32,
}
