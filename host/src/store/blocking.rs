//! Blocked keys. A blocked key is a fact of the key: no retention, restart or cancel of a job releases it.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use sqlx::Row as _;

use super::moves::{self, Act, JobNow};
use super::rows::Changes;
use super::writer::WriteTx;
use super::{Store, StoreError};

/// Jobs of a key that are set aside in one transaction.
const AT_ONCE: usize = 1000;

impl Store {
    /// Keys that are blocked.
    ///
    /// # Errors
    /// What the database says.
    pub async fn blocked_keys(&self) -> Result<Vec<(ConnectionId, KeyHash)>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                let rows =
                    sqlx::query("SELECT connection_id, key_hash FROM blocked_key ORDER BY connection_id, key_hash").fetch_all(conn).await?;
                rows.iter().map(|row| Ok((ConnectionId(row.try_get(0)?), KeyHash(row.try_get(1)?)))).collect()
            })
        })
        .await
    }

    /// Marks ready jobs of blocked keys as set aside.
    ///
    /// # Errors
    /// What the database says.
    pub async fn mark_blocked(&self, jobs: &[JobSeq]) -> Result<Changes, StoreError> {
        let now = self.inner.clock.wall();
        let mut changes = Changes::default();
        for chunk in jobs.chunks(AT_ONCE) {
            let chunk = chunk.to_vec();
            let marked = self
                .write(chunk.len(), move |tx| {
                    Box::pin(async move {
                        let mut act = Act::at(now);
                        set_aside(tx, &mut act, &chunk).await?;
                        act.finish(tx).await
                    })
                })
                .await?;
            changes.absorb(marked);
        }
        Ok(changes)
    }

    /// Sets aside the ready jobs of the keys that were just blocked, in bounded transactions. What led here is committed:
    /// if this fails, or the host dies in the middle, the scheduler meets the rest as ready jobs of a blocked key, and
    /// none of them can be sent.
    pub(super) async fn set_rest_aside(&self, mut changes: Changes) -> Changes {
        for (connection, key) in changes.blocked.clone() {
            loop {
                match self.set_some_aside(connection, key).await {
                    Ok((marked, later)) => {
                        changes.absorb(later);
                        if marked < AT_ONCE {
                            break;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, %connection, "jobs of a blocked key are not set aside yet");
                        break;
                    }
                }
            }
        }
        changes
    }

    async fn set_some_aside(&self, connection: ConnectionId, key: KeyHash) -> Result<(usize, Changes), StoreError> {
        let now = self.inner.clock.wall();
        self.write(AT_ONCE, move |tx| {
            Box::pin(async move {
                let mut act = Act::at(now);
                let ready = ready_in_key(tx, connection, key).await?;
                set_aside(tx, &mut act, &ready).await?;
                Ok((ready.len(), act.finish(tx).await?))
            })
        })
        .await
    }
}

/// Blocks the key behind `head`; its ready jobs are set aside by [`Store::set_rest_aside`].
pub(super) async fn block(tx: &mut WriteTx, act: &mut Act, head: &JobNow, reason: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO blocked_key (connection_id, key_hash, partition_key, reason, head_job, since) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (connection_id, key_hash) DO NOTHING",
    )
    .bind(head.connection.0)
    .bind(head.key.0)
    .bind(head.key_text())
    .bind(reason)
    .bind(head.job.0)
    .bind(act.now.0)
    .execute(&mut tx.conn)
    .await?;
    if !act.changes.blocked.contains(&(head.connection, head.key)) {
        act.changes.blocked.push((head.connection, head.key));
    }
    Ok(())
}

async fn set_aside(tx: &mut WriteTx, act: &mut Act, jobs: &[JobSeq]) -> Result<(), StoreError> {
    let moved = moves::load(&mut tx.conn, jobs)
        .await?
        .into_iter()
        .filter(|job| job.key_blocked && job.standing.state == JobState::Waiting && job.standing.waiting.is_none())
        .map(|job| {
            let next = job.standing.waits(Some(WaitingKind::Blocked), None);
            (job, next)
        })
        .collect();
    act.apply(tx, moved).await
}

async fn ready_in_key(tx: &mut WriteTx, connection: ConnectionId, key: KeyHash) -> Result<Vec<JobSeq>, StoreError> {
    // Both halves walk an index of unfinished jobs of the key.
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT j.id FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL \
         WHERE j.connection_id = ?1 AND j.key_hash = ?2 AND j.state = 0 AND j.waiting IS NULL \
         AND j.seal = 0 AND j.state <= 2 AND (j.waiting IS NULL OR j.waiting NOT IN (1, 5, 14)) \
         UNION ALL SELECT j.id FROM job j WHERE j.connection_id = ?1 AND j.key_hash = ?2 AND j.state = 0 AND j.waiting IS NULL \
         AND j.seal > 0 AND j.state <= 2 AND (j.waiting IS NULL OR j.waiting NOT IN (1, 5, 14)) LIMIT ?3",
    )
    .bind(connection.0)
    .bind(key.0)
    .bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX))
    .fetch_all(&mut tx.conn)
    .await?;
    Ok(ids.into_iter().map(JobSeq).collect())
}
