//! Whether a job may still go, and as which action.

use egression_core::domain::action::Action;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::FailureCode;
use egression_core::scheduler::Head;
use egression_core::time::Wall;

use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::delivery::settle::settlement_builder::{fails, rejects};
use crate::store::rows::{ClaimRow, Settlement};

/// A job that may go, still without its bytes.
#[derive(Debug)]
pub struct Candidate {
    pub head: Head,
    pub row: ClaimRow,
    pub action: Action,
}

impl Candidate {
    /// Whether its body comes from a source.
    pub fn is_read(&self) -> bool {
        is_read(&self.row, self.action)
    }
}

impl From<Work> for Candidate {
    fn from(work: Work) -> Self {
        Self {
            action: work.action(),
            head: work.head,
            row: work.row,
        }
    }
}

/// Whether a job's body comes from a source.
pub fn is_read(row: &ClaimRow, action: Action) -> bool {
    row.pinned.is_none() && row.payload.is_none() && action != Action::Delete
}

/// The job as a candidate, or how it ends.
pub fn eligible(
    route: &Route,
    head: Head,
    row: ClaimRow,
    now: Wall,
) -> Result<Candidate, Box<Settlement>> {
    if let Some(pinned) = &row.pinned {
        return Ok(Candidate {
            head,
            action: pinned.action,
            row,
        });
    }
    if row.expires_at.is_some_and(|at| at <= now) {
        let message = "`expires_at` passed before the job was sent";
        return Err(Box::new(fails(&row, FailureCode::Expired, message, now)));
    }
    let description = route.description();
    let object_type = &row.object.object_type;
    let rejected = |code: &str, verb: &str| {
        let message = format!(
            "the connector {} does not {verb} {object_type}",
            description.name
        );
        Box::new(rejects(&row, Problem::new(code, message), now))
    };
    let Some(support) = description.object_type(object_type) else {
        return Err(rejected("object_type.unsupported", "deliver"));
    };
    match row.action.fallback(&support.actions) {
        Some(action) => Ok(Candidate { head, row, action }),
        None => Err(rejected("action.unsupported", row.action.as_str())),
    }
}
