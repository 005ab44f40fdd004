//! The end of jobs, whatever led to it: intents go, errors are grouped, keys are blocked, and
//! dependents are notified.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::State;
use egression_core::domain::transition::Event;

use crate::store::StoreError;
use crate::store::dependencies::parents::is_success;
use crate::store::dependencies::release::{self, EndedJob};
use crate::store::engine::statement;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::error_groups::ErrorGroups;
use crate::store::lifecycle::transition::{JobChanges, JobFields, LockedJob};
use crate::store::lifecycle::{blocked_keys, intents};

/// The end of one job.
#[derive(Debug)]
pub struct Ending {
    pub job: LockedJob,
    /// The job in its terminal state.
    pub next: JobFields,
    /// The reason for which its key is blocked behind it.
    pub block_key: Option<String>,
}

impl Ending {
    /// The end that an event brings.
    pub fn by(job: LockedJob, event: Event) -> Result<Self, StoreError> {
        let next = job.fields.after(event)?;
        Ok(Self::new(job, next))
    }

    /// The end of a job in a terminal state. An unknown outcome blocks the key.
    pub fn new(job: LockedJob, next: JobFields) -> Self {
        let block_key = match &next.state {
            State::Unknown { problem } => Some(problem.message.clone()),
            _ => None,
        };
        Self {
            job,
            next,
            block_key,
        }
    }
}

/// Ends jobs, with everything that belongs to an end.
pub async fn end(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    endings: Vec<Ending>,
) -> Result<(), StoreError> {
    if endings.is_empty() {
        return Ok(());
    }
    let moves = endings
        .iter()
        .map(|ending| (ending.job.clone(), ending.next.clone()))
        .collect();
    changes.apply(tx, moves).await?;
    forget_bytes(tx, &endings).await?;
    keep_problems(
        tx,
        endings
            .iter()
            .map(|ending| (&ending.job, ending.next.state.problem())),
    )
    .await?;
    let mut groups = ErrorGroups::default();
    for ending in &endings {
        groups.add(ending.job.job, &ending.next.state);
    }
    groups.write(tx).await?;
    for ending in &endings {
        if let Some(reason) = &ending.block_key {
            blocked_keys::block(tx, changes, &ending.job, reason).await?;
        }
    }
    let ended: Vec<_> = endings
        .iter()
        .map(|ending| EndedJob {
            job: ending.job.job,
            connection: ending.job.connection,
            object: &ending.job.object,
            success: is_success(ending.next.state.kind()),
            was_child: ending.job.fields.waits_for_parents(),
        })
        .collect();
    release::notify_dependents(tx, changes, &ended).await
}

/// Deletes the intents. The inline bodies of jobs that did not succeed stay: a retry makes new jobs
/// of them.
async fn forget_bytes(tx: &mut WriteTx, endings: &[Ending]) -> Result<(), StoreError> {
    let with_intent: Vec<_> = endings
        .iter()
        .filter(|ending| ending.job.fields.state.has_intent())
        .map(|ending| ending.job.job)
        .collect();
    intents::forget(tx, &with_intent).await?;
    let done: Vec<JobSeq> = endings
        .iter()
        .filter(|ending| is_success(ending.next.state.kind()))
        .map(|ending| ending.job.job)
        .collect();
    statement::run_among(tx, "DELETE FROM payload WHERE job_id IN", &done).await
}

/// Keeps the last problem of each job, and clears it where there is none.
pub async fn keep_problems(
    tx: &mut WriteTx,
    jobs: impl Iterator<Item = (&LockedJob, Option<&Problem>)>,
) -> Result<(), StoreError> {
    let (mut problems, mut cleared) = (Vec::new(), Vec::new());
    for (job, problem) in jobs {
        match problem {
            Some(problem) => problems.push((
                job.job,
                serde_json::to_string(problem)
                    .map_err(|error| StoreError::Corrupt(error.to_string()))?,
            )),
            None if job.fields.problem_code.is_some() => cleared.push(job.job),
            None => {}
        }
    }
    statement::run_values(
        tx,
        "INSERT INTO job_detail (job_id, problem) ",
        &problems,
        |row, (job, problem)| {
            row.push_bind(job.0).push_bind(problem.as_str());
        },
        " ON CONFLICT (job_id) DO UPDATE SET problem = excluded.problem",
    )
    .await?;
    let clear = "UPDATE job_detail SET problem = NULL WHERE job_id IN";
    statement::run_among(tx, clear, &cleared).await
}
