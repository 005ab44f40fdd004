//! Questions of the scheduler. A claim costs the size of its batch, whatever waits.

use egression_core::domain::ids::*;
use egression_core::domain::object::*;
use egression_core::domain::partition::KeyHash;
use egression_core::time::Wall;
use super::rows::*;
use super::{Store, StoreError};

impl Store {
    /// Executions with unfinished jobs, by seal.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_executions(&self) -> Result<Vec<OpenExecution>, StoreError> {
        todo!()
    }

    /// One of them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_execution(&self, execution: ExecutionSeq) -> Result<Option<OpenExecution>, StoreError> {
        let _ = (execution,);
        todo!()
    }

    /// The next ready jobs of a lane. `held` and `blocked` as documented in [`LanePage`]. The order inside a key is (seal, belt, id).
    ///
    /// # Errors
    /// What the database says.
    pub async fn lane_page(&self, lane: LaneKey, after: Option<JobSeq>, limit: u32) -> Result<LanePage, StoreError> {
        let _ = (lane, after, limit);
        todo!()
    }

    /// The heads of these keys, as far as they are ready (waiting without a reason, or with a reason whose time has come).
    ///
    /// # Errors
    /// What the database says.
    pub async fn heads_of_keys(&self, keys: &[(ConnectionId, KeyHash)], now: Wall) -> Result<Vec<HeadRow>, StoreError> {
        let _ = (keys, now);
        todo!()
    }

    /// These jobs as heads, as far as they wait without a reason and nothing of their key is before them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn heads(&self, jobs: &[JobSeq]) -> Result<Vec<HeadRow>, StoreError> {
        let _ = (jobs,);
        todo!()
    }

    /// Ends waits whose time has come (schedule: draws a seal; retry, source, dependency: see below), at most `limit`, oldest first.
    /// Scheduled and retrying jobs become ready and are returned if they are heads; dependency waits whose time is over are returned as `orphaned` in the changes.
    ///
    /// # Errors
    /// What the database says.
    pub async fn fall_due(&self, now: Wall, limit: u32) -> Result<(Vec<HeadRow>, Changes), StoreError> {
        let _ = (now, limit);
        todo!()
    }

    /// When the next wait ends by itself or the next job expires.
    ///
    /// # Errors
    /// What the database says.
    pub async fn next_due(&self) -> Result<Option<Wall>, StoreError> {
        todo!()
    }

    /// Waiting jobs whose `expires_at` has passed end as failed (`expired`), at most `limit`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn expire(&self, now: Wall, limit: u32) -> Result<Changes, StoreError> {
        let _ = (now, limit);
        todo!()
    }

    /// Keys that are blocked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn blocked_keys(&self) -> Result<Vec<(ConnectionId, KeyHash)>, StoreError> {
        todo!()
    }

    /// Marks ready jobs of blocked keys as set aside.
    ///
    /// # Errors
    /// What the database says.
    pub async fn mark_blocked(&self, jobs: &[JobSeq]) -> Result<Changes, StoreError> {
        let _ = (jobs,);
        todo!()
    }

    /// Notes that a belt is open; it stays so.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_belt(&self, execution: ExecutionSeq, connection: ConnectionId, belt: u32) -> Result<(), StoreError> {
        let _ = (execution, connection, belt);
        todo!()
    }

    /// Cancels the waiting jobs of the belts from `belt` on (an earlier one was not clean, `belt_on_failure = "abort"`).
    ///
    /// # Errors
    /// What the database says.
    pub async fn abort_belts(&self, execution: ExecutionSeq, connection: ConnectionId, belt: u32, now: Wall) -> Result<Changes, StoreError> {
        let _ = (execution, connection, belt, now);
        todo!()
    }

    /// Intents that were open when the host died, by job.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open_intents(&self) -> Result<Vec<OpenIntent>, StoreError> {
        todo!()
    }

    /// The largest call number used, to go on after.
    ///
    /// # Errors
    /// What the database says.
    pub async fn last_call(&self) -> Result<i64, StoreError> {
        todo!()
    }
}
