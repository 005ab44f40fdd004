//! A job with the bytes that will be sent.

use egression_core::domain::action::Action;
use egression_core::domain::ids::JobId;
use egression_core::scheduler::Head;

use super::route::Route;
use crate::runtime::{Item, ResolvedReference, TypeSupport};
use crate::store::rows::{ClaimRow, NewEvent, Pinned};

#[derive(Clone, Debug)]
pub struct Work {
    pub head: Head,
    pub row: ClaimRow,
    pub job_id: JobId,
    pub pinned: Pinned,
    /// The references of the body; their remotes are read just before a guest needs them.
    pub references: Vec<ResolvedReference>,
    /// What led to this send, for the history: resolved, reconciled and so on.
    pub events: Vec<NewEvent>,
}

impl Work {
    /// What the job is sent as: the action that was asked for, or `upsert` in its place.
    pub const fn action(&self) -> Action {
        self.pinned.action
    }

    /// The number of this attempt.
    pub const fn attempt(&self) -> u32 {
        self.row.attempts + 1
    }

    pub fn bytes(&self) -> u64 {
        self.pinned
            .body
            .as_ref()
            .map_or(0, |body| body.len() as u64)
    }

    pub fn support<'a>(&self, route: &'a Route) -> Option<&'a TypeSupport> {
        route
            .description()
            .object_type(&self.row.object.object_type)
    }

    pub fn is_idempotent(&self, route: &Route) -> bool {
        self.support(route)
            .is_some_and(|s| s.idempotent_actions.contains(&self.action()))
    }

    /// The item as a guest gets it.
    pub fn item(&self, index: u32, attempt: u32) -> Item {
        Item {
            index,
            job_id: self.job_id.to_string(),
            object: self.row.object.clone(),
            action: self.action(),
            body: self.pinned.body.clone(),
            revision: self.pinned.revision.or(self.pinned.counted),
            idempotency_key: self.pinned.idempotency_key.clone(),
            attempt,
            remotes: self.row.remotes.clone(),
            references: self.references.clone(),
        }
    }
}

/// The name of an item in its call.
pub fn item_index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
