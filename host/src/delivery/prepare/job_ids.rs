//! Public ids of jobs: their execution's is read once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use egression_core::domain::ids::{ExecutionId, ExecutionSeq, JobId, JobSeq};

use crate::store::Store;

/// Executions whose id is remembered; all are forgotten when there are more.
const MAX_REMEMBERED: usize = 10_000;

/// The public ids of executions.
#[derive(Debug, Default)]
pub struct JobIds {
    executions: Mutex<HashMap<ExecutionSeq, ExecutionId>>,
}

impl JobIds {
    /// A job's public id; none if its execution cannot be read.
    pub async fn job_id(&self, store: &Store, job: JobSeq) -> Option<JobId> {
        let known = self.lock().get(&job.execution()).copied();
        if let Some(execution) = known {
            return Some(JobId {
                execution,
                index: job.index(),
            });
        }
        match store.job_id(job).await {
            Ok(id) => {
                let id = id?;
                let mut executions = self.lock();
                if executions.len() >= MAX_REMEMBERED {
                    executions.clear();
                }
                executions.insert(job.execution(), id.execution);
                Some(id)
            }
            Err(error) => {
                tracing::error!(%error, job = job.0, "a job's id could not be read");
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ExecutionSeq, ExecutionId>> {
        self.executions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
