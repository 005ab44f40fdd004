//! Intents: the durable note, made before the first byte leaves, that a job is about to be sent.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::state::JobState;
use sqlx::Row as _;

use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{JobChanges, JobFields};
use crate::store::lifecycle::{events, open_executions, transition};
use crate::store::rows::{NewIntent, OpenIntent};
use crate::store::{Store, StoreError};

impl Store {
    /// Opens intents, in one transaction, for those of the jobs that still wait (ready, or for a
    /// retry or a source), whose key is not blocked, and whose execution, connection and channel
    /// are not paused; answers with these, after the commit.
    pub async fn open_intent(&self, intents: Vec<NewIntent>) -> Result<Vec<JobSeq>, StoreError> {
        let now = self.inner.clock.wall();
        self.write(intents.len(), move |tx| {
            Box::pin(async move { open(tx, JobChanges::at(now), intents).await })
        })
        .await
    }

    /// Intents that were open when the host died, by job.
    pub async fn open_intents(&self) -> Result<Vec<OpenIntent>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "SELECT i.job_id, j.connection_id, i.call_id, i.attempt, j.object_type, j.object_id, i.action, j.conflicts \
                     FROM intent i JOIN job j ON j.id = i.job_id WHERE i.open = TRUE ORDER BY i.job_id",
                )
                .fetch_all(conn)
                .await?;
                rows.iter()
                    .map(|row| {
                        Ok(OpenIntent {
                            job: JobSeq(row.try_get(0)?),
                            connection: ConnectionId(row.try_get(1)?),
                            call: row.try_get(2)?,
                            attempt: row.try_get(3)?,
                            object: ObjectKey { object_type: row.try_get(4)?, id: row.try_get(5)? },
                            action: transition::action(row.try_get(6)?)?,
                            conflicts: row.try_get(7)?,
                        })
                    })
                    .collect()
            })
        })
        .await
    }

    /// The largest call number that an intent carries, to go on after.
    pub async fn last_call(&self) -> Result<i64, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                Ok(
                    sqlx::query_scalar("SELECT coalesce(max(call_id), 0) FROM intent")
                        .fetch_one(conn)
                        .await?,
                )
            })
        })
        .await
    }
}

async fn open(
    tx: &mut WriteTx,
    mut changes: JobChanges,
    intents: Vec<NewIntent>,
) -> Result<Vec<JobSeq>, StoreError> {
    let wanted: Vec<_> = intents.iter().map(|intent| intent.job).collect();
    let mut jobs = transition::load(&mut tx.conn, &wanted).await?;
    // The scheduler hears of a pause after the caller does; what it claimed in between is not sent.
    let paused = open_executions::paused_among(tx, &jobs).await?;
    jobs.retain(|job| {
        job.may_be_sent() && !paused.contains(&(job.job.execution(), job.connection))
    });
    let opened: Vec<_> = jobs.iter().map(|job| job.job).collect();
    let moved = jobs
        .into_iter()
        .map(|job| {
            let next = JobFields {
                state: JobState::InFlight,
                waiting: None,
                due_at: None,
                ..job.standing.clone()
            };
            (job, next)
        })
        .collect();
    changes.apply(tx, moved).await?;
    let mut kept: std::collections::HashSet<_> = opened.iter().copied().collect();
    let intents: Vec<_> = intents
        .into_iter()
        .filter(|intent| kept.remove(&intent.job))
        .collect();
    for chunk in intents.chunks(CHUNK) {
        write(tx, chunk, changes.now.0).await?;
    }
    let events: Vec<_> = intents
        .into_iter()
        .flat_map(|intent| {
            intent
                .events
                .into_iter()
                .map(move |event| (intent.job, event))
        })
        .collect();
    events::append(tx, &events).await?;
    changes.finish(tx).await?;
    Ok(opened)
}

async fn write(tx: &mut WriteTx, intents: &[NewIntent], now: i64) -> Result<(), StoreError> {
    let mut insert = statement::values(
        "INSERT INTO intent (job_id, call_id, attempt, open, answer_lost, action, body_hash, body, revision, counted, idempotency_key, opened_at) ",
        intents,
        |row, intent| {
            row.push_bind(intent.job.0)
                .push_bind(intent.call)
                .push_bind(intent.attempt)
                .push_bind(true)
                .push_bind(intent.pinned.answer_lost)
                .push_bind(intent.pinned.action.code())
                .push_bind(intent.pinned.body_hash.as_slice())
                .push_bind(intent.pinned.body.as_deref())
                .push_bind(intent.pinned.revision.map(u64::cast_signed))
                .push_bind(intent.pinned.counted.map(u64::cast_signed))
                .push_bind(intent.pinned.idempotency_key.as_str())
                .push_bind(now);
        },
    );
    // That an answer was lost is never forgotten while the bytes are pinned.
    insert.push(
        " ON CONFLICT (job_id) DO UPDATE SET call_id = excluded.call_id, attempt = excluded.attempt, open = TRUE, \
         answer_lost = (intent.answer_lost OR excluded.answer_lost), action = excluded.action, body_hash = excluded.body_hash, \
         body = excluded.body, revision = excluded.revision, counted = excluded.counted, idempotency_key = excluded.idempotency_key, opened_at = excluded.opened_at",
    );
    statement::run(insert, &mut tx.conn).await?;
    Ok(())
}

/// Drops intents and the bytes that they pin.
pub(in crate::store) async fn forget(tx: &mut WriteTx, jobs: &[JobSeq]) -> Result<(), StoreError> {
    for chunk in jobs.chunks(CHUNK) {
        statement::run(
            statement::among("DELETE FROM intent WHERE job_id IN", chunk.iter().copied()),
            &mut tx.conn,
        )
        .await?;
    }
    Ok(())
}

/// Closes intents and keeps the bytes for the repeat.
pub(in crate::store) async fn keep(
    tx: &mut WriteTx,
    jobs: &[(JobSeq, bool)],
) -> Result<(), StoreError> {
    for lost in [false, true] {
        let jobs: Vec<_> = jobs
            .iter()
            .filter(|(_, answer_lost)| *answer_lost == lost)
            .map(|(job, _)| *job)
            .collect();
        for chunk in jobs.chunks(CHUNK) {
            let head = if lost {
                "UPDATE intent SET open = FALSE, answer_lost = TRUE WHERE job_id IN"
            } else {
                "UPDATE intent SET open = FALSE WHERE job_id IN"
            };
            statement::run(statement::among(head, chunk.iter().copied()), &mut tx.conn).await?;
        }
    }
    Ok(())
}
