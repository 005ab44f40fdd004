//! Blocked keys. A blocked key is a fact about the key: retention, a restart or the cancel of a job
//! never release it.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::Wait;
use egression_core::domain::transition::Event;

use crate::store::engine::predicates::{holds_key, waits};
use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::rows::Changes;
use crate::store::{Store, StoreError};

/// Jobs of a key that are set aside in one transaction.
const AT_ONCE: usize = 1000;

impl Store {
    /// Marks ready jobs of blocked keys as set aside.
    pub async fn mark_blocked(&self, jobs: &[JobSeq]) -> Result<Changes, StoreError> {
        let now = self.inner.clock.wall();
        let mut changes = Changes::default();
        for chunk in jobs.chunks(AT_ONCE) {
            let chunk = chunk.to_vec();
            let marked = self
                .write(chunk.len(), move |tx| {
                    Box::pin(async move {
                        let mut changes = JobChanges::at(now);
                        set_aside(tx, &mut changes, &chunk).await?;
                        changes.finish(tx).await
                    })
                })
                .await?;
            changes.absorb(marked);
        }
        Ok(changes)
    }

    /// Sets aside the ready jobs of newly blocked keys, in bounded transactions. The keys are
    /// blocked already: after an error or a crash, the scheduler finds the rest as ready jobs of a
    /// blocked key, and none of them can be sent.
    pub(in crate::store) async fn set_rest_aside(&self, mut changes: Changes) -> Changes {
        for (connection, key) in changes.blocked.clone() {
            let mut after = Some(Place::BEFORE_ALL);
            while let Some(from) = after {
                match self.set_some_aside(connection, key, from).await {
                    Ok((next, later)) => {
                        changes.absorb(later);
                        after = next;
                    }
                    Err(error) => {
                        tracing::warn!(
                            %error,
                            connection.seq = %connection,
                            "jobs of a blocked key are not set aside yet"
                        );
                        break;
                    }
                }
            }
        }
        changes
    }

    /// The place to continue after; none: the key is done.
    async fn set_some_aside(
        &self,
        connection: ConnectionId,
        key: KeyHash,
        after: Place,
    ) -> Result<(Option<Place>, Changes), StoreError> {
        let now = self.inner.clock.wall();
        self.write(AT_ONCE, move |tx| {
            Box::pin(async move {
                let mut changes = JobChanges::at(now);
                let ready = ready_in_key(tx, connection, key, after).await?;
                let jobs: Vec<_> = ready.iter().map(|place| JobSeq(place.job)).collect();
                set_aside(tx, &mut changes, &jobs).await?;
                let next = ready.last().filter(|_| ready.len() == AT_ONCE).copied();
                Ok((next, changes.finish(tx).await?))
            })
        })
        .await
    }
}

/// Blocks the key behind `head`; its ready jobs are set aside by [`Store::set_rest_aside`].
pub async fn block(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    head: &LockedJob,
    reason: &str,
) -> Result<(), StoreError> {
    sqlite::query(
        "INSERT INTO blocked_key (connection_id, key_hash, partition_key, reason, head_job, \
         since) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (connection_id, key_hash) DO NOTHING",
    )
    .bind(head.connection.0)
    .bind(head.key.0)
    .bind(head.key_text())
    .bind(reason)
    .bind(head.job.0)
    .bind(changes.now.0)
    .execute(&mut tx.conn)?;
    if !changes
        .report
        .blocked
        .contains(&(head.connection, head.key))
    {
        changes.report.blocked.push((head.connection, head.key));
    }
    Ok(())
}

async fn set_aside(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    jobs: &[JobSeq],
) -> Result<(), StoreError> {
    let is_ready =
        |job: &LockedJob| job.key_blocked && job.fields.state.wait() == Some(Wait::Ready);
    changes
        .move_by(tx, jobs, &Event::KeyBlocked, is_ready)
        .await?;
    Ok(())
}

/// A job's place in the indexes of its key: jobs with their execution's seal come first (by
/// execution, belt and number), then those with their own seal.
#[derive(Clone, Copy, Debug)]
struct Place {
    seal: i64,
    execution: i64,
    belt: i64,
    job: i64,
}

impl Place {
    const BEFORE_ALL: Self = Self {
        seal: 0,
        execution: -1,
        belt: -1,
        job: -1,
    };
}

/// The ready jobs of the key `?2`.
macro_rules! ready_jobs {
    ($joined:literal, $seal:literal) => {
        concat!(
            "SELECT * FROM (SELECT j.seal, j.id >> 24 AS execution, j.belt, j.id AS job FROM job \
             j ",
            $joined,
            " WHERE j.connection_id = ?1 AND j.key_hash = ?2 AND j.waiting IS NULL AND ",
            waits!("j."),
            " AND j.seal ",
            $seal,
            " AND ",
            holds_key!("j.")
        )
    };
}

/// As [`ready_jobs`], with the seal of their execution.
macro_rules! ready_jobs_of_executions {
    () => {
        ready_jobs!(
            "JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL",
            "= 0"
        )
    };
}

/// After `?3` (seal), `?4` (execution), `?5` (belt) and `?6` (job), at most `?7`. Each part
/// continues in an index of the key's unfinished jobs where the last page ended. Jobs that are set
/// aside stay in these indexes, and are not read again.
pub const READY: &str = concat!(
    ready_jobs_of_executions!(),
    " AND ?3 = 0 AND (j.id >> 24) = ?4 AND j.belt = ?5 AND j.id > ?6 ORDER BY j.id LIMIT ?7) AS \
     in_belt UNION ALL ",
    ready_jobs_of_executions!(),
    " AND ?3 = 0 AND (j.id >> 24) = ?4 AND j.belt > ?5 ORDER BY j.belt, j.id LIMIT ?7) AS \
     in_execution UNION ALL ",
    ready_jobs_of_executions!(),
    " AND ?3 = 0 AND (j.id >> 24) > ?4 ORDER BY (j.id >> 24), j.belt, j.id LIMIT ?7) AS in_key \
     UNION ALL ",
    ready_jobs!("", "> 0"),
    " AND j.seal > ?3 ORDER BY j.seal LIMIT ?7) AS drawn LIMIT ?7",
);

async fn ready_in_key(
    tx: &mut WriteTx,
    connection: ConnectionId,
    key: KeyHash,
    after: Place,
) -> Result<Vec<Place>, StoreError> {
    let rows = sqlite::query(READY)
        .bind(connection.0)
        .bind(key.0)
        .bind(after.seal)
        .bind(after.execution)
        .bind(after.belt)
        .bind(after.job)
        .bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX))
        .fetch_all(&mut tx.conn)?;
    rows.iter()
        .map(|row| {
            Ok(Place {
                seal: row.try_get("seal")?,
                execution: row.try_get("execution")?,
                belt: row.try_get("belt")?,
                job: row.try_get("job")?,
            })
        })
        .collect()
}
