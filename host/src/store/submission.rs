//! Receiving: staging, sealing, idempotency keys.

use egression_core::domain::ids::*;
use egression_core::domain::object::*;
use egression_core::domain::partition::KeyHash;
use egression_core::time::Wall;
use super::rows::*;
use super::{Store, StoreError};

impl Store {
    /// Makes an execution that is still being received. Removed at the next start if it is never sealed.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_execution(&self, new: NewExecution) -> Result<ExecutionSeq, StoreError> {
        let _ = (new,);
        todo!()
    }

    /// Adds at most 1,000 items to an unsealed execution. They are invisible to the scheduler.
    ///
    /// # Errors
    /// What the database says.
    pub async fn stage(&self, execution: ExecutionSeq, items: Vec<StagedItem>) -> Result<(), StoreError> {
        let _ = (execution, items);
        todo!()
    }

    /// Makes an execution's jobs durable as a whole: counters, idempotency key, seal number, in one small transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn seal(&self, execution: ExecutionSeq, mark: Option<IdempotencyMark>) -> Result<Sealed, StoreError> {
        let _ = (execution, mark);
        todo!()
    }

    /// A small request (at most 1,000 items) in one transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn submit(&self, new: NewExecution, items: Vec<StagedItem>, mark: Option<IdempotencyMark>) -> Result<Sealed, StoreError> {
        let _ = (new, items, mark);
        todo!()
    }

    /// Removes an unsealed execution.
    ///
    /// # Errors
    /// What the database says.
    pub async fn abandon(&self, execution: ExecutionSeq) -> Result<(), StoreError> {
        let _ = (execution,);
        todo!()
    }

    /// What a key was used for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn idempotency(&self, subscription: SubscriptionId, operation: &str, key: &str) -> Result<Option<IdempotencyRecord>, StoreError> {
        let _ = (subscription, operation, key);
        todo!()
    }

    /// Unfinished jobs of all subscriptions, for the backlog bound. Kept in memory by the writer, O(1).
    ///
    /// # Errors
    /// What the database says.
    pub fn backlog(&self) -> u64 {
        todo!()
    }
}
