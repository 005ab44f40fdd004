//! Staging: received items are written, invisible to the scheduler until their execution is sealed.

use std::collections::BTreeMap;

use egression_core::domain::action::Action;
use egression_core::domain::belt::priority_bit;
use egression_core::domain::ids::{ExecutionSeq, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::{JobState, State};
use egression_core::time::Wall;

use crate::store::StoreError;
use crate::store::engine::sqlite;
use crate::store::engine::statement;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters::{BeltDelta, BeltKey};
use crate::store::lifecycle::error_groups::ErrorGroups;
use crate::store::rows::state_columns::StateColumns;
use crate::store::rows::{StagedItem, StagedJob};

#[derive(Clone, Copy, Debug, Default)]
struct Received {
    delta: BeltDelta,
    priorities: u32,
}

/// A refused line of a request.
#[derive(Debug)]
struct Refused {
    job: JobSeq,
    excerpt: String,
    object: Option<ObjectKey>,
    /// The state that it has from the start.
    end: State,
}

/// Adds items to an unsealed execution and counts them.
pub async fn add(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    items: Vec<StagedItem>,
    now: Wall,
) -> Result<(), StoreError> {
    let (mut jobs, mut refused) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        match item {
            StagedItem::Job(job) => jobs.push(job),
            StagedItem::Refused {
                index,
                excerpt,
                object,
                problem,
            } => refused.push(Refused {
                job: execution.job(index),
                excerpt,
                object,
                end: State::Rejected { problem },
            }),
        }
    }
    write_jobs(tx, execution, &jobs, now).await?;
    write_details(tx, execution, &jobs).await?;
    write_payloads(tx, execution, &jobs).await?;
    write_refused(tx, &refused, now).await?;
    count(tx, execution, &jobs, &refused, now).await
}

async fn write_jobs(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    jobs: &[StagedJob],
    now: Wall,
) -> Result<(), StoreError> {
    statement::insert(
        tx,
        "INSERT INTO job (id, connection_id, belt, key_hash, object_hash, state, waiting, action, \
         priority, source_id, due_at, expires_at, object_type, object_id, partition_key) VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        jobs,
        |insert, job| {
            let own_key = job.object.to_string();
            let key = job.partition_key.as_deref().filter(|key| *key != own_key);
            let columns = StateColumns::of(&State::submitted(job.scheduled_at, now), now);
            insert
                .bind(execution.job(job.index).0)
                .bind(job.connection.0)
                .bind(job.belt)
                .bind(KeyHash::of(key.unwrap_or(&own_key)).0)
                .bind(job.object.hash().0)
                .bind(columns.state)
                .bind(columns.waiting)
                .bind(job.action.code())
                .bind(job.priority)
                .bind(job.source.map(|source| source.0))
                .bind(columns.due_at)
                .bind(job.expires_at.map(|at| at.0))
                .bind(job.object.object_type.as_str())
                .bind(job.object.id.as_str())
                .bind(key)
        },
    )
}

async fn write_details(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    jobs: &[StagedJob],
) -> Result<(), StoreError> {
    let detailed: Vec<_> = jobs
        .iter()
        .filter(|job| has_detail(job))
        .map(|job| Ok((job, json_of(job.context.as_ref())?, depends_on(job)?)))
        .collect::<Result<_, StoreError>>()?;
    statement::run_values(
        tx,
        "INSERT INTO job_detail (job_id, client_ref, context, depends_on, scheduled_at, \
         revision, \"full\", traceparent) ",
        &detailed,
        |row, (job, context, depends_on)| {
            row.push_bind(execution.job(job.index).0)
                .push_bind(job.client_ref.as_deref())
                .push_bind(context.as_deref())
                .push_bind(depends_on.as_deref())
                .push_bind(job.scheduled_at.map(|at| at.0))
                .push_bind(job.revision.map(u64::cast_signed))
                .push_bind(job.full)
                .push_bind(job.traceparent.as_deref());
        },
        "",
    )
    .await?;
    Ok(())
}

fn has_detail(job: &StagedJob) -> bool {
    job.client_ref.is_some()
        || job.context.is_some()
        || !job.depends_on.is_empty()
        || job.scheduled_at.is_some()
        || job.revision.is_some()
        || job.full
        || job.traceparent.is_some()
}

fn depends_on(job: &StagedJob) -> Result<Option<String>, StoreError> {
    json_of((!job.depends_on.is_empty()).then_some(&job.depends_on))
}

/// The JSON text of a value, if there is one.
pub fn json_of<T: serde::Serialize>(value: Option<&T>) -> Result<Option<String>, StoreError> {
    value
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

async fn write_payloads(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    jobs: &[StagedJob],
) -> Result<(), StoreError> {
    let bodies: Vec<_> = jobs
        .iter()
        .filter_map(|job| job.payload.as_deref().map(|body| (job.index, body)))
        .collect();
    statement::insert(
        tx,
        "INSERT INTO payload (job_id, body) VALUES (?1, ?2)",
        &bodies,
        |insert, (index, body)| insert.bind(execution.job(*index).0).bind(*body),
    )
}

async fn write_refused(tx: &mut WriteTx, refused: &[Refused], now: Wall) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        "INSERT INTO job (id, connection_id, belt, key_hash, object_hash, state, action, \
         object_type, object_id, finished_at, problem_code) ",
        refused,
        |row, line| {
            let columns = StateColumns::of(&line.end, now);
            let (object_type, id) = line.object.as_ref().map_or(("", ""), |object| {
                (object.object_type.as_str(), object.id.as_str())
            });
            row.push_bind(line.job.0).push("NULL").push("0").push("0");
            // Its action may not have been readable: any action will do.
            row.push_bind(line.object.as_ref().map_or(0, |object| object.hash().0))
                .push_bind(columns.state)
                .push_bind(Action::Upsert.code())
                .push_bind(object_type)
                .push_bind(id)
                .push_bind(columns.finished_at)
                .push_bind(line.end.code());
        },
        "",
    )
    .await?;
    let problems: Vec<_> = refused
        .iter()
        .map(|line| Ok((line, json_of(line.end.problem())?)))
        .collect::<Result<_, StoreError>>()?;
    statement::run_values(
        tx,
        "INSERT INTO job_detail (job_id, excerpt, problem) ",
        &problems,
        |row, (line, problem)| {
            row.push_bind(line.job.0)
                .push_bind(line.excerpt.as_str())
                .push_bind(problem.as_deref());
        },
        "",
    )
    .await?;
    Ok(())
}

async fn count(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    jobs: &[StagedJob],
    refused: &[Refused],
    now: Wall,
) -> Result<(), StoreError> {
    let mut belts: BTreeMap<BeltKey, Received> = BTreeMap::new();
    for job in jobs {
        let belt = belts
            .entry((execution, job.connection, job.belt))
            .or_default();
        belt.delta
            .count(&State::submitted(job.scheduled_at, now), 1);
        belt.priorities |= priority_bit(job.priority);
    }
    let mut errors = ErrorGroups::default();
    for line in refused {
        errors.add(line.job, &line.end);
    }
    tx.effects.backlog += belts.values().map(|belt| belt.delta.open()).sum::<i64>();
    write_counters(tx, belts).await?;
    if !refused.is_empty() {
        sqlite::query("UPDATE execution SET refused = refused + ?1 WHERE seq = ?2")
            .bind(i64::try_from(refused.len()).unwrap_or(i64::MAX))
            .bind(execution.0)
            .execute(&mut tx.conn)?;
    }
    errors.write(tx).await
}

async fn write_counters(
    tx: &mut WriteTx,
    belts: BTreeMap<BeltKey, Received>,
) -> Result<(), StoreError> {
    let belts: Vec<_> = belts.into_iter().collect();
    statement::run_values(
        tx,
        "INSERT INTO progress (execution_seq, connection_id, belt, total, waiting, scheduled, \
         priorities) ",
        &belts,
        |row, ((execution, connection, belt), received)| {
            row.push_bind(execution.0)
                .push_bind(connection.0)
                .push_bind(*belt)
                .push_bind(received.delta.states.iter().sum::<i64>())
                .push_bind(received.delta.states[JobState::Waiting as usize])
                .push_bind(received.delta.scheduled)
                .push_bind(received.priorities);
        },
        " ON CONFLICT (execution_seq, connection_id, belt) DO UPDATE SET total = progress.total + \
         excluded.total, waiting = progress.waiting + excluded.waiting, scheduled = \
         progress.scheduled + excluded.scheduled, priorities = progress.priorities | \
         excluded.priorities",
    )
    .await?;
    Ok(())
}
