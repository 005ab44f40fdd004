//! Blocked keys. A blocked key is a fact about the key: retention, a restart or the cancel of a job
//! never release it.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::Wait;
use egression_core::domain::transition::Event;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::store::engine::predicates::{holds_key, waits};
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{self, JobChanges, LockedJob};
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
            let mut after = Some(Place::default());
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
    sqlx::query(
        "INSERT INTO blocked_key (connection_id, key_hash, partition_key, reason, head_job, \
         since) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (connection_id, key_hash) DO NOTHING",
    )
    .bind(head.connection.0)
    .bind(head.key.0)
    .bind(head.key_text())
    .bind(reason)
    .bind(head.job.0)
    .bind(changes.now.0)
    .execute(&mut tx.conn)
    .await?;
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
    let moves = transition::load(&mut tx.conn, jobs)
        .await?
        .into_iter()
        .filter(|job| job.key_blocked && job.fields.state.wait() == Some(Wait::Ready))
        .map(|job| {
            let next = job.fields.after(Event::KeyBlocked)?;
            Ok((job, next))
        })
        .collect::<Result<_, StoreError>>()?;
    changes.apply(tx, moves).await
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

impl Default for Place {
    fn default() -> Self {
        Self {
            seal: 0,
            execution: -1,
            belt: -1,
            job: -1,
        }
    }
}

/// After `$3` (seal), `$4` (execution), `$5` (belt) and `$6` (job), at most `$7`. Each part
/// continues in an index of the key's unfinished jobs where the last page ended. Jobs that are set
/// aside stay in these indexes, and are not read again.
pub const READY: &str = concat!(
    "SELECT * FROM (SELECT j.seal, j.id >> 24, j.belt, j.id FROM job j JOIN execution x ON x.seq \
     = j.id >> 24 AND x.seal IS NOT NULL ",
    concat!(
        "WHERE j.connection_id = $1 AND j.key_hash = $2 AND j.waiting IS NULL AND ",
        waits!("j."),
        " AND j.seal = 0 AND "
    ),
    holds_key!("j."),
    " AND $3 = 0 AND (j.id >> 24) = $4 AND j.belt = $5 AND j.id > $6 ORDER BY j.id LIMIT $7) AS \
     in_belt ",
    "UNION ALL SELECT * FROM (SELECT j.seal, j.id >> 24, j.belt, j.id FROM job j JOIN execution x \
     ON x.seq = j.id >> 24 AND x.seal IS NOT NULL ",
    concat!(
        "WHERE j.connection_id = $1 AND j.key_hash = $2 AND j.waiting IS NULL AND ",
        waits!("j."),
        " AND j.seal = 0 AND "
    ),
    holds_key!("j."),
    " AND $3 = 0 AND (j.id >> 24) = $4 AND j.belt > $5 ORDER BY j.belt, j.id LIMIT $7) AS \
     in_execution ",
    "UNION ALL SELECT * FROM (SELECT j.seal, j.id >> 24, j.belt, j.id FROM job j JOIN execution x \
     ON x.seq = j.id >> 24 AND x.seal IS NOT NULL ",
    concat!(
        "WHERE j.connection_id = $1 AND j.key_hash = $2 AND j.waiting IS NULL AND ",
        waits!("j."),
        " AND j.seal = 0 AND "
    ),
    holds_key!("j."),
    " AND $3 = 0 AND (j.id >> 24) > $4 ORDER BY (j.id >> 24), j.belt, j.id LIMIT $7) AS in_key ",
    "UNION ALL SELECT * FROM (SELECT j.seal, j.id >> 24, j.belt, j.id FROM job j ",
    concat!(
        "WHERE j.connection_id = $1 AND j.key_hash = $2 AND j.waiting IS NULL AND ",
        waits!("j."),
        " AND j.seal > 0 AND "
    ),
    holds_key!("j."),
    " AND j.seal > $3 ORDER BY j.seal LIMIT $7) AS drawn LIMIT $7",
);

async fn ready_in_key(
    tx: &mut WriteTx,
    connection: ConnectionId,
    key: KeyHash,
    after: Place,
) -> Result<Vec<Place>, StoreError> {
    let rows = sqlx::query(READY)
        .bind(connection.0)
        .bind(key.0)
        .bind(after.seal)
        .bind(after.execution)
        .bind(after.belt)
        .bind(after.job)
        .bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX))
        .fetch_all(&mut tx.conn)
        .await?;
    let place = |row: &SqliteRow| {
        Ok(Place {
            seal: row.try_get(0)?,
            execution: row.try_get(1)?,
            belt: row.try_get(2)?,
            job: row.try_get(3)?,
        })
    };
    rows.iter().map(place).collect()
}
