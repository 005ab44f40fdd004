//! What people do to executions: cancel, pause.

use egression_core::domain::ids::*;
use egression_core::domain::object::*;
use egression_core::domain::partition::KeyHash;
use egression_core::time::Wall;
use super::rows::*;
use super::{Store, StoreError};

impl Store {
    /// Cancels the execution's waiting jobs, in bounded transactions; jobs in flight keep their true outcome.
    ///
    /// # Errors
    /// What the database says.
    pub async fn cancel_execution(&self, execution: ExecutionSeq, now: Wall) -> Result<Changes, StoreError> {
        let _ = (execution, now);
        todo!()
    }

    /// Cancels one job if it waits; false if it does not.
    ///
    /// # Errors
    /// What the database says.
    pub async fn cancel_job(&self, job: JobSeq, now: Wall) -> Result<(bool, Changes), StoreError> {
        let _ = (job, now);
        todo!()
    }

    /// Cancels every waiting job of a connection (its channel or subscription is being deleted).
    ///
    /// # Errors
    /// What the database says.
    pub async fn cancel_connection(&self, connection: ConnectionId, now: Wall) -> Result<Changes, StoreError> {
        let _ = (connection, now);
        todo!()
    }

    /// Pauses or resumes an execution; false if it stood so already.
    ///
    /// # Errors
    /// What the database says.
    pub async fn pause_execution(&self, execution: ExecutionSeq, paused: bool) -> Result<bool, StoreError> {
        let _ = (execution, paused);
        todo!()
    }
}
