//! Public ids of jobs. The id of their execution is read once.

use egression_core::domain::ids::{ExecutionId, ExecutionSeq, JobId, JobSeq};
use moka::sync::Cache;

use crate::store::Store;

/// Executions whose id is remembered.
const MAX_REMEMBERED: u64 = 10_000;

#[derive(Debug)]
pub struct JobIds {
    store: Store,
    executions: Cache<ExecutionSeq, ExecutionId>,
}

impl JobIds {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            executions: Cache::new(MAX_REMEMBERED),
        }
    }

    /// A job's public id; none if its execution cannot be read.
    pub async fn get(&self, job: JobSeq) -> Option<JobId> {
        if let Some(execution) = self.executions.get(&job.execution()) {
            return Some(JobId {
                execution,
                index: job.index(),
            });
        }
        match self.store.job_id(job).await {
            Ok(id) => {
                let id = id?;
                self.executions.insert(job.execution(), id.execution);
                Some(id)
            }
            Err(error) => {
                tracing::error!(%error, job.seq = job.0, "cannot read a job's id");
                None
            }
        }
    }
}
