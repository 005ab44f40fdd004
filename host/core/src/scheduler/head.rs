//! A job as the scheduler sees it.

use crate::domain::action::Action;
use crate::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, TypeHash};
use crate::domain::object::ObjectHash;
use crate::domain::partition::KeyHash;

/// A job with no unfinished job before it in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub job: JobSeq,
    pub connection: ConnectionId,
    pub belt: u32,
    pub key: KeyHash,
    pub object: ObjectHash,
    /// The object's type: a call holds jobs of one type.
    pub type_hash: TypeHash,
    pub action: Action,
    /// −10 … 10.
    pub priority: i8,
    pub attempts: u32,
    /// Its execution's seal number, or its own if it was scheduled.
    pub seal: i64,
    /// A body is pinned by an earlier attempt.
    pub pinned: bool,
}

impl Head {
    /// The lane that the job belongs to.
    pub fn lane(&self) -> LaneKey {
        LaneKey {
            connection: self.connection,
            execution: self.job.execution(),
            belt: self.belt,
            priority: self.priority,
        }
    }

    /// Its place among jobs of one lane and kind: older first.
    pub(super) const fn place(&self) -> (i64, JobSeq) {
        (self.seal, self.job)
    }

    /// Its place in its key and, for jobs of one object, in its object.
    pub const fn order(&self) -> (i64, u32, JobSeq) {
        (self.seal, self.belt, self.job)
    }

    /// Jobs of this kind may share a call with it.
    pub(super) const fn kind(&self) -> Kind {
        Kind {
            type_hash: self.type_hash,
            action: self.action,
        }
    }
}

/// Ready jobs of one execution, connection, belt and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneKey {
    pub connection: ConnectionId,
    pub execution: ExecutionSeq,
    pub belt: u32,
    pub priority: i8,
}

/// Object type and action: jobs of one kind can share a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind {
    pub(super) type_hash: TypeHash,
    pub(super) action: Action,
}

impl Kind {
    /// Whether jobs of both may share a call.
    pub(super) fn packs_with(self, other: Self, mixed_actions: bool) -> bool {
        self.type_hash == other.type_hash && (mixed_actions || self.action == other.action)
    }
}
