//! How jobs end: by a settlement, a cancel or their expiry. What belongs to an end happens here,
//! whatever led to it: intents go, errors are grouped, keys are blocked, dependents are told.

use std::collections::BTreeMap;

use egression_core::domain::ids::JobSeq;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;

use crate::store::StoreError;
use crate::store::dependencies::release;
use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::lifecycle::{blocked_keys, intents};

/// The end of one job.
#[derive(Debug)]
pub(in crate::store) struct Ending {
    pub(in crate::store) job: LockedJob,
    pub(in crate::store) state: JobState,
    pub(in crate::store) code: Option<String>,
    pub(in crate::store) problem: Option<Problem>,
    pub(in crate::store) changed: Option<bool>,
    /// Why its key is blocked behind it.
    pub(in crate::store) block_key: Option<String>,
}

pub(in crate::store) async fn end(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    endings: Vec<Ending>,
) -> Result<(), StoreError> {
    if endings.is_empty() {
        return Ok(());
    }
    if let Some(wrong) = endings.iter().find(|ending| !ending.state.is_terminal()) {
        return Err(StoreError::Corrupt(format!(
            "job {} cannot end as {}",
            wrong.job.job,
            wrong.state.as_str()
        )));
    }
    let moved = endings
        .iter()
        .map(|ending| {
            let code = ending
                .code
                .clone()
                .or_else(|| ending.problem.as_ref().map(|problem| problem.code.clone()));
            let mut next = ending.job.standing.ended(ending.state, code, changes.now);
            next.changed = ending.changed;
            (ending.job.clone(), next)
        })
        .collect();
    changes.apply(tx, moved).await?;
    forget_bytes(tx, &endings).await?;
    keep_problems(
        tx,
        endings
            .iter()
            .map(|ending| (&ending.job, ending.problem.as_ref())),
    )
    .await?;
    group_errors(tx, &endings).await?;
    for ending in &endings {
        if let Some(reason) = &ending.block_key {
            blocked_keys::block(tx, changes, &ending.job, reason).await?;
        }
    }
    release::tell(tx, changes, &endings).await
}

/// Drops intents. The inline bodies of jobs that did not succeed are kept: a retry makes new jobs
/// of them.
async fn forget_bytes(tx: &mut WriteTx, endings: &[Ending]) -> Result<(), StoreError> {
    let with_intent: Vec<_> = endings
        .iter()
        .filter(|ending| ending.job.intent.is_some())
        .map(|ending| ending.job.job)
        .collect();
    intents::forget(tx, &with_intent).await?;
    let through: Vec<JobSeq> = endings
        .iter()
        .filter(|ending| matches!(ending.state, JobState::Succeeded | JobState::Superseded))
        .map(|ending| ending.job.job)
        .collect();
    for chunk in through.chunks(CHUNK) {
        statement::run(
            statement::among("DELETE FROM payload WHERE job_id IN", chunk.iter().copied()),
            &mut tx.conn,
        )
        .await?;
    }
    Ok(())
}

/// Keeps what went wrong last, and clears it where nothing did.
pub(in crate::store) async fn keep_problems(
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
            None if job.standing.problem_code.is_some() => cleared.push(job.job),
            None => {}
        }
    }
    for chunk in problems.chunks(CHUNK) {
        let mut insert = statement::values(
            "INSERT INTO job_detail (job_id, problem) ",
            chunk,
            |row, (job, problem)| {
                row.push_bind(job.0).push_bind(problem.as_str());
            },
        );
        insert.push(" ON CONFLICT (job_id) DO UPDATE SET problem = excluded.problem");
        statement::run(insert, &mut tx.conn).await?;
    }
    for chunk in cleared.chunks(CHUNK) {
        statement::run(
            statement::among(
                "UPDATE job_detail SET problem = NULL WHERE job_id IN",
                chunk.iter().copied(),
            ),
            &mut tx.conn,
        )
        .await?;
    }
    Ok(())
}

async fn group_errors(tx: &mut WriteTx, endings: &[Ending]) -> Result<(), StoreError> {
    let mut groups: BTreeMap<_, (i64, JobSeq)> = BTreeMap::new();
    for ending in endings {
        if !matches!(
            ending.state,
            JobState::Rejected | JobState::Failed | JobState::Unknown
        ) {
            continue;
        }
        let code = ending
            .code
            .as_deref()
            .or(ending.problem.as_ref().map(|problem| problem.code.as_str()))
            .unwrap_or(ending.state.as_str());
        let group = groups
            .entry((
                ending.job.job.execution(),
                code.to_owned(),
                ending.state.code(),
            ))
            .or_insert((0, ending.job.job));
        group.0 += 1;
    }
    write_groups(tx, groups).await
}

/// Adds to the grouped errors: by execution, code and state, how many and one of them.
pub(in crate::store) async fn write_groups(
    tx: &mut WriteTx,
    groups: BTreeMap<(egression_core::domain::ids::ExecutionSeq, String, i64), (i64, JobSeq)>,
) -> Result<(), StoreError> {
    let groups: Vec<_> = groups.into_iter().collect();
    for chunk in groups.chunks(CHUNK) {
        let mut insert = statement::values(
            "INSERT INTO error_group (execution_seq, code, state, jobs, example_job) ",
            chunk,
            |row, ((execution, code, state), (jobs, example))| {
                row.push_bind(execution.0)
                    .push_bind(code.as_str())
                    .push_bind(*state)
                    .push_bind(*jobs)
                    .push_bind(example.0);
            },
        );
        insert.push(" ON CONFLICT (execution_seq, code, state) DO UPDATE SET jobs = error_group.jobs + excluded.jobs");
        statement::run(insert, &mut tx.conn).await?;
    }
    Ok(())
}
