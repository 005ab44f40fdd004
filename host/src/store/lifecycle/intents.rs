//! Intents: the durable record, written before the first byte leaves, that a job is about to be
//! sent.

use std::collections::HashMap;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::transition::Event;
use futures_util::future::BoxFuture;

use crate::store::engine::joined::Joined;
use crate::store::engine::sqlite;
use crate::store::engine::statement;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{self, JobChanges};
use crate::store::lifecycle::{job_history, open_executions};
use crate::store::rows::{NewIntent, OpenIntent, columns};
use crate::store::{Store, StoreError};

impl Store {
    /// Opens intents in one transaction and returns their jobs. Leaves out jobs that may not be
    /// sent any more: the job must be ready or wait for a retry or a source, its key must not be
    /// blocked, and neither its execution, connection nor channel may be paused.
    pub async fn open_intent(&self, intents: Vec<NewIntent>) -> Result<Vec<JobSeq>, StoreError> {
        self.join(&self.inner.opening, intents).await
    }

    /// Intents that were open when the host died, by job.
    pub async fn open_intents(&self) -> Result<Vec<OpenIntent>, StoreError> {
        let select = sqlite::query(
            "SELECT i.job_id, j.connection_id, i.call_id, i.attempt, j.object_type, j.object_id, \
             i.action, j.conflicts FROM intent i JOIN job j ON j.id = i.job_id WHERE i.open = TRUE \
             ORDER BY i.job_id",
        );
        self.all(select, |row| {
            Ok(OpenIntent {
                job: JobSeq(row.try_get("job_id")?),
                connection: ConnectionId(row.try_get("connection_id")?),
                call: row.try_get("call_id")?,
                attempt: row.try_get("attempt")?,
                object: columns::object(row)?,
                action: columns::action(row, "action")?,
                conflicts: row.try_get("conflicts")?,
            })
        })
        .await
    }

    /// The largest call number of an intent: later calls continue after it.
    pub async fn last_call(&self) -> Result<i64, StoreError> {
        let last = sqlite::query("SELECT coalesce(max(call_id), 0) AS last FROM intent");
        let last = self.one(last, |row| row.try_get("last")).await?;
        Ok(last.unwrap_or(0))
    }
}

/// The intents of all calls that start together.
pub struct Opening;

impl Joined for Opening {
    type Value = NewIntent;
    type Answer = Vec<JobSeq>;

    fn job(intent: &NewIntent) -> JobSeq {
        intent.job
    }

    fn write(
        tx: &mut WriteTx,
        intents: Vec<NewIntent>,
    ) -> BoxFuture<'_, Result<Vec<JobSeq>, StoreError>> {
        Box::pin(async move { open(tx, JobChanges::at(tx.now()), intents).await })
    }

    fn divide(opened: Vec<JobSeq>, callers: &[Vec<JobSeq>]) -> Vec<Vec<JobSeq>> {
        let mut owners = HashMap::with_capacity(opened.len());
        for (caller, jobs) in callers.iter().enumerate() {
            for job in jobs {
                // The first intent of a job is the one that was written.
                owners.entry(*job).or_insert(caller);
            }
        }
        let mut parts = vec![Vec::new(); callers.len()];
        for job in opened {
            if let Some(caller) = owners.get(&job) {
                parts[*caller].push(job);
            }
        }
        parts
    }
}

async fn open(
    tx: &mut WriteTx,
    mut changes: JobChanges,
    intents: Vec<NewIntent>,
) -> Result<Vec<JobSeq>, StoreError> {
    let wanted: Vec<_> = intents.iter().map(|intent| intent.job).collect();
    let mut jobs = transition::load(&mut tx.conn, &wanted).await?;
    // The scheduler hears of a pause after its caller does: jobs claimed in between are not sent.
    let paused = open_executions::paused_among(tx, &jobs).await?;
    jobs.retain(|job| {
        job.fields.state.may_be_sent()
            && !job.key_blocked
            && !paused.contains(&(job.job.execution(), job.connection))
    });
    let mut by_job = HashMap::with_capacity(intents.len());
    for intent in intents {
        by_job.entry(intent.job).or_insert(intent);
    }
    let (mut moves, mut opened) = (Vec::new(), Vec::new());
    for job in jobs {
        let Some(intent) = by_job.remove(&job.job) else {
            continue;
        };
        let next = job.fields.after(Event::Sent {
            call: intent.call,
            attempt: intent.attempt,
        })?;
        moves.push((job, next));
        opened.push(intent);
    }
    changes.apply(tx, moves).await?;
    write(tx, &opened, changes.now.0).await?;
    let jobs = opened.iter().map(|intent| intent.job).collect();
    let mut history = Vec::new();
    for NewIntent { job, events, .. } in opened {
        history.extend(events.into_iter().map(|event| (job, event)));
    }
    job_history::append(tx, &history).await?;
    changes.finish(tx).await?;
    Ok(jobs)
}

async fn write(tx: &mut WriteTx, intents: &[NewIntent], now: i64) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        "INSERT INTO intent (job_id, call_id, attempt, open, answer_lost, action, body_hash, \
         body, revision, counted, idempotency_key, opened_at) ",
        intents,
        |row, intent| {
            row.push_bind(intent.job.0)
                .push_bind(intent.call)
                .push_bind(intent.attempt)
                .push_bind(true)
                .push_bind(intent.pinned.answer_lost)
                .push_bind(intent.pinned.action.code())
                .push_bytes(&intent.pinned.body_hash)
                .push_bind(intent.pinned.body.as_deref())
                .push_bind(intent.pinned.revision.map(u64::cast_signed))
                .push_bind(intent.pinned.counted.map(u64::cast_signed))
                .push_bind(intent.pinned.idempotency_key.as_str())
                .push_bind(now);
        },
        // While the bytes are pinned, a lost answer stays on record.
        " ON CONFLICT (job_id) DO UPDATE SET call_id = excluded.call_id, attempt = \
         excluded.attempt, open = TRUE, answer_lost = (intent.answer_lost OR \
         excluded.answer_lost), action = excluded.action, body_hash = excluded.body_hash, body = \
         excluded.body, revision = excluded.revision, counted = excluded.counted, idempotency_key \
         = excluded.idempotency_key, opened_at = excluded.opened_at",
    )
    .await?;
    Ok(())
}

/// Deletes intents, and with them the bytes that they pin.
pub async fn forget(tx: &mut WriteTx, jobs: &[JobSeq]) -> Result<(), StoreError> {
    statement::run_among(tx, "DELETE FROM intent WHERE job_id IN", jobs).await
}

/// Closes intents and keeps their bytes for the repeat.
pub async fn close(
    tx: &mut WriteTx,
    jobs: &[JobSeq],
    answer_lost: &[JobSeq],
) -> Result<(), StoreError> {
    let close = "UPDATE intent SET open = FALSE WHERE job_id IN";
    statement::run_among(tx, close, jobs).await?;
    let lost = "UPDATE intent SET open = FALSE, answer_lost = TRUE WHERE job_id IN";
    statement::run_among(tx, lost, answer_lost).await
}
