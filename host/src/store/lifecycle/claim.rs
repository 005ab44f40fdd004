//! The claim: everything that a delivery needs to know of its jobs. Calls that start together are
//! read together.

use std::collections::HashMap;

use egression_core::domain::ids::{JobSeq, SourceId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::store::engine::sqlite::Row;
use crate::store::engine::statement;
use crate::store::lifecycle::id_map::{self, remotes_of_job};
use crate::store::rows::{ClaimRow, Pinned, columns};
use crate::store::{Store, StoreError};
use crate::telemetry::layer_cpu::Layer;

/// The columns of [`claim`] and [`pinned`].
const CLAIM: &str = concat!(
    "SELECT j.id, j.state, j.object_type, j.object_id, j.action, j.attempts, j.conflicts, \
     j.source_id, j.expires_at, j.waits_since, j.problem_code, p.body AS payload, d.revision, \
     d.depends_on, coalesce(d.traceparent, x.traceparent) AS traceparent, r.revision AS \
     delivered_revision, coalesce(r.counted, 0) AS deliveries, i.action AS sent_as, i.body, \
     i.body_hash, i.revision AS sent_revision, i.counted, i.idempotency_key, i.answer_lost, ",
    remotes_of_job!(),
    " FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL LEFT JOIN payload p \
     ON p.job_id = j.id LEFT JOIN job_detail d ON d.job_id = j.id LEFT JOIN intent i ON i.job_id = \
     j.id LEFT JOIN delivered r ON r.connection_id = j.connection_id AND r.object_type = \
     j.object_type AND r.object_id = j.object_id WHERE j.id IN"
);

/// Claims read at the same time; further ones wait and are then read together.
const READ_AT_ONCE: usize = 2;

/// The calls that wait for their claim.
#[derive(Debug)]
pub struct Claiming {
    waiting: Mutex<Vec<Waiting>>,
    reading: Semaphore,
}

#[derive(Debug)]
struct Waiting {
    jobs: Vec<JobSeq>,
    reply: oneshot::Sender<Result<Vec<ClaimRow>, StoreError>>,
}

impl Default for Claiming {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            reading: Semaphore::new(READ_AT_ONCE),
        }
    }
}

impl Store {
    /// Everything that a delivery needs to know of these jobs, in their order, without those that
    /// no longer exist.
    pub async fn claim(&self, jobs: &[JobSeq]) -> Result<Vec<ClaimRow>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.inner.claiming.waiting.lock();
            let jobs = jobs.to_vec();
            waiting.push(Waiting { jobs, reply });
            waiting.len() == 1
        };
        if is_first {
            let store = self.clone();
            tokio::spawn(Layer::StoreReaders.measure(async move { store.read_claims().await }));
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn read_claims(&self) {
        let claiming = &self.inner.claiming;
        // The semaphore is never closed.
        let _permit = claiming.reading.acquire().await;
        let callers = std::mem::take(&mut *claiming.waiting.lock());
        let jobs: Vec<JobSeq> = callers
            .iter()
            .flat_map(|caller| caller.jobs.iter().copied())
            .collect();
        let read = self.read_statement(move |conn| {
            Box::pin(async move {
                let mut found = HashMap::with_capacity(jobs.len());
                for row in statement::rows_among(conn, CLAIM, &jobs).await? {
                    found.insert(JobSeq(row.try_get("id")?), claim(&row));
                }
                Ok(found)
            })
        });
        let mut answer = read.await;
        for Waiting { jobs, reply } in callers {
            let own = match &mut answer {
                // An unreadable job is the problem of its own call.
                Ok(found) => jobs.iter().filter_map(|job| found.remove(job)).collect(),
                Err(error) => Err(error.clone()),
            };
            // A dropped caller needs no answer.
            drop(reply.send(own));
        }
    }
}

fn claim(row: &Row) -> Result<ClaimRow, StoreError> {
    Ok(ClaimRow {
        job: JobSeq(row.try_get("id")?),
        state: columns::state(row, "state")?,
        object: columns::object(row)?,
        action: columns::action(row, "action")?,
        attempts: row.try_get("attempts")?,
        conflicts: row.try_get("conflicts")?,
        source: row.try_get::<Option<i64>>("source_id")?.map(SourceId),
        expires_at: columns::time(row, "expires_at")?,
        problem_code: row.try_get("problem_code")?,
        waits_since: columns::time(row, "waits_since")?,
        payload: row.try_get("payload")?,
        revision: columns::bits(row, "revision")?,
        depends_on: columns::json(row, "depends_on")?.unwrap_or_default(),
        traceparent: row.try_get("traceparent")?,
        pinned: pinned(row)?,
        remotes: id_map::remotes_column(row)?,
        delivered_revision: columns::bits(row, "delivered_revision")?,
        deliveries: columns::count(row, "deliveries")?,
    })
}

fn pinned(row: &Row) -> Result<Option<Pinned>, StoreError> {
    if row.try_get::<Option<i64>>("sent_as")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Pinned {
        action: columns::action(row, "sent_as")?,
        body: row.try_get("body")?,
        body_hash: columns::hash(row, "body_hash")?,
        revision: columns::bits(row, "sent_revision")?,
        counted: columns::bits(row, "counted")?,
        idempotency_key: row.try_get("idempotency_key")?,
        answer_lost: row.try_get("answer_lost")?,
    }))
}
