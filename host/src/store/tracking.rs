//! Questions of people: executions, jobs, events, objects.

use egression_core::domain::ids::*;
use egression_core::domain::object::*;
use egression_core::domain::partition::KeyHash;
use egression_core::time::Wall;
use super::rows::*;
use super::{Store, StoreError};

impl Store {
    /// The number of a public id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execution_seq(&self, id: ExecutionId) -> Result<Option<ExecutionSeq>, StoreError> {
        let _ = (id,);
        todo!()
    }

    /// An execution with counters and grouped errors, in one snapshot.
    ///
    /// # Errors
    /// What the database says.
    pub async fn execution(&self, seq: ExecutionSeq) -> Result<Option<ExecutionStatus>, StoreError> {
        let _ = (seq,);
        todo!()
    }

    /// Executions, newest first, with their counters (errors empty).
    ///
    /// # Errors
    /// What the database says.
    pub async fn executions(&self, filter: &ExecutionFilter, limit: u32) -> Result<Vec<ExecutionStatus>, StoreError> {
        let _ = (filter, limit);
        todo!()
    }

    /// Jobs of an execution after `after`, ascending.
    ///
    /// # Errors
    /// What the database says.
    pub async fn jobs(&self, execution: ExecutionSeq, filter: &JobFilter, after: Option<JobSeq>, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let _ = (execution, filter, after, limit);
        todo!()
    }

    /// One job.
    ///
    /// # Errors
    /// What the database says.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, StoreError> {
        let _ = (id,);
        todo!()
    }

    /// The public id of a job's number.
    ///
    /// # Errors
    /// What the database says.
    pub async fn job_id(&self, seq: JobSeq) -> Result<Option<JobId>, StoreError> {
        let _ = (seq,);
        todo!()
    }

    /// The references known of a job's object at the job's destination.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remotes(&self, connection: ConnectionId, objects: &[ObjectKey]) -> Result<Vec<Vec<Remote>>, StoreError> {
        let _ = (connection, objects);
        todo!()
    }

    /// A job's history after `after`, ascending.
    ///
    /// # Errors
    /// What the database says.
    pub async fn events(&self, job: JobSeq, after: u32, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let _ = (job, after, limit);
        todo!()
    }

    /// Every job of an object, newest first, before `before`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn object_jobs(&self, subscription: Option<SubscriptionId>, object: &ObjectKey, before: Option<JobSeq>, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        let _ = (subscription, object, before, limit);
        todo!()
    }

    /// Unfinished jobs before this one in its key, counted to at most 1,000.
    ///
    /// # Errors
    /// What the database says.
    pub async fn ahead(&self, job: JobSeq) -> Result<u32, StoreError> {
        let _ = (job,);
        todo!()
    }
}
