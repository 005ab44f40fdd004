//! Claims, intents and settlements.

use egression_core::domain::ids::*;
use egression_core::domain::object::*;
use egression_core::domain::partition::KeyHash;
use egression_core::time::Wall;
use super::rows::*;
use super::{Store, StoreError};

impl Store {
    /// All that a delivery needs to know of these jobs, in their order; jobs that are gone are left out.
    ///
    /// # Errors
    /// What the database says.
    pub async fn claim(&self, jobs: &[JobSeq]) -> Result<Vec<ClaimRow>, StoreError> {
        let _ = (jobs,);
        todo!()
    }

    /// For each of `objects` (with the child that refers to it): the newest unfinished job of that object on this connection
    /// accepted no later than the child, other than the child.
    ///
    /// # Errors
    /// What the database says.
    pub async fn unfinished_parents(&self, connection: ConnectionId, objects: &[(JobSeq, ObjectKey)]) -> Result<Vec<Option<JobSeq>>, StoreError> {
        let _ = (connection, objects);
        todo!()
    }

    /// Opens intents, in one transaction, for those of the jobs that still wait; answers with these, after the commit.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_intent(&self, intents: Vec<NewIntent>) -> Result<Vec<JobSeq>, StoreError> {
        let _ = (intents,);
        todo!()
    }

    /// Settles jobs with id map, counters, events, error groups, blocked keys and dependents, in one transaction.
    /// Guarded by state and call: a settlement that does not apply is listed as stale and changes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<Changes, StoreError> {
        let _ = (settlements,);
        todo!()
    }

    /// Adds to a job's history.
    ///
    /// # Errors
    /// What the database says.
    pub async fn add_events(&self, job: JobSeq, events: Vec<NewEvent>) -> Result<(), StoreError> {
        let _ = (job, events);
        todo!()
    }
}
