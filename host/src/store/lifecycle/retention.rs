//! Retention: the removal of executions past their `expires_at`, with their jobs, events, bodies
//! and logs.
//!
//! Promises: a transaction removes at most [`AT_ONCE`] rows, so that deliveries never wait long for
//! the writer. Readers see nothing of a partly removed execution, because it is past its time. Only
//! complete executions expire, so none with waiting, in-flight or accepted jobs. Facts about keys,
//! objects, limits and connections stay: blocked keys, the id map, delivered revisions, closed
//! limits.

use egression_core::domain::ids::ExecutionSeq;
use egression_core::time::Wall;

use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::{Store, StoreError};

/// Rows that are removed in one transaction.
const AT_ONCE: u64 = 1000;
/// As [`AT_ONCE`], for the writer.
const ROWS: usize = 1000;
/// Executions looked up at once.
const LOOKED_UP: i64 = 100;
/// An idempotency key and its execution are kept this long, however short the retention is.
const KEY_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The execution may be removed at `?1`, unless its key was used after `?2`. The execution of a
/// blocked key's head stays, because a person may retry the head (the `+` removes the affinity of
/// `seq`, which an index on an expression cannot serve). The newest execution stays until there is
/// a newer one: numbers continue after it, so none is used twice.
pub const REMOVABLE: &str = "x.expires_at <= ?1 AND x.completed_at IS NOT NULL AND x.seq < \
    (SELECT max(seq) FROM execution WHERE seal IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM \
    idempotency i WHERE i.execution_seq = x.seq AND i.created_at > ?2) AND NOT EXISTS (SELECT 1 \
    FROM blocked_key b WHERE (b.head_job >> 24) = +x.seq)";

/// The rows of an execution's jobs (numbers `?1` to `?2`), in the order of removal: at most `?3` of
/// each.
const OF_JOBS: [&str; 5] = [
    "DELETE FROM event WHERE (job_id, seq) IN (SELECT job_id, seq FROM event WHERE job_id >= ?1 \
     AND job_id < ?2 LIMIT ?3)",
    "DELETE FROM payload WHERE job_id IN (SELECT job_id FROM payload WHERE job_id >= ?1 AND \
     job_id < ?2 LIMIT ?3)",
    "DELETE FROM job_detail WHERE job_id IN (SELECT job_id FROM job_detail WHERE job_id >= ?1 AND \
     job_id < ?2 LIMIT ?3)",
    "DELETE FROM intent WHERE job_id IN (SELECT job_id FROM intent WHERE job_id >= ?1 AND job_id \
     < ?2 LIMIT ?3)",
    "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE id >= ?1 AND id < ?2 LIMIT ?3)",
];

/// The execution's own rows (`?1`: its number), removed next: at most `?2` of each.
const OWN: [&str; 3] = [
    "DELETE FROM error_group WHERE execution_seq = ?1 AND (code, state) IN \
     (SELECT code, state FROM error_group WHERE execution_seq = ?1 LIMIT ?2)",
    "DELETE FROM progress WHERE execution_seq = ?1 AND (connection_id, belt) IN \
     (SELECT connection_id, belt FROM progress WHERE execution_seq = ?1 LIMIT ?2)",
    "DELETE FROM idempotency WHERE (subscription_id, operation, key) IN \
     (SELECT subscription_id, operation, key FROM idempotency WHERE execution_seq = ?1 LIMIT ?2)",
];

/// Keys used after this time are kept, with their executions.
pub const fn keys_kept_since(now: Wall) -> i64 {
    now.0.saturating_sub(KEY_KEPT_MS)
}

impl Store {
    /// Removes expired executions in bounded transactions and returns their number. After an
    /// interruption, the next call continues.
    pub async fn remove_expired(&self, now: Wall) -> Result<u64, StoreError> {
        let (mut removed, mut after) = (0, (i64::MIN, 0));
        loop {
            let found = self.expired_after(now, after).await?;
            let Some(last) = found.last() else {
                return Ok(removed);
            };
            after = *last;
            for (_, seq) in found {
                let execution = ExecutionSeq(seq);
                while self
                    .write(ROWS, move |tx| {
                        Box::pin(async move { remove_some(tx, execution, now).await })
                    })
                    .await?
                {}
                removed += 1;
            }
        }
    }

    pub fn retention_ms(&self) -> i64 {
        self.inner.options.retention_ms
    }

    async fn expired_after(
        &self,
        now: Wall,
        after: (i64, i64),
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let question = format!(
                    "SELECT x.expires_at, x.seq FROM execution x WHERE x.expires_at IS NOT NULL \
                     AND {REMOVABLE} AND (x.expires_at, x.seq) > (?3, ?4) ORDER BY x.expires_at, \
                     x.seq LIMIT ?5"
                );
                let found = sqlite::query(question)
                    .bind(now.0)
                    .bind(keys_kept_since(now))
                    .bind(after.0)
                    .bind(after.1)
                    .bind(LOOKED_UP)
                    .fetch_all(conn)?;
                found
                    .iter()
                    .map(|row| Ok((row.try_get("expires_at")?, row.try_get("seq")?)))
                    .collect()
            })
        })
        .await
    }
}

/// Removes some rows of an execution; true if there may be more.
pub async fn remove_some(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    now: Wall,
) -> Result<bool, StoreError> {
    // Checked again in the transaction: one of its jobs may have become the head of a blocked key.
    let question =
        format!("SELECT EXISTS (SELECT 1 FROM execution x WHERE x.seq = ?3 AND {REMOVABLE})");
    let removable: bool = sqlite::query(question)
        .bind(now.0)
        .bind(keys_kept_since(now))
        .bind(execution.0)
        .scalar(&mut tx.conn)?;
    if !removable {
        return Ok(false);
    }
    let mut left = AT_ONCE;
    let of_jobs = OF_JOBS.map(|part| {
        sqlite::query(part)
            .bind(execution.job(0).0)
            .bind(execution.end().0)
    });
    let own = OWN.map(|part| sqlite::query(part).bind(execution.0));
    for part in of_jobs.into_iter().chain(own) {
        let most = i64::try_from(left).unwrap_or(i64::MAX);
        let removed = part.bind(most).execute(&mut tx.conn)?;
        left = left.saturating_sub(removed);
        if left == 0 {
            return Ok(true);
        }
    }
    sqlite::query("DELETE FROM execution WHERE seq = ?1")
        .bind(execution.0)
        .execute(&mut tx.conn)?;
    Ok(false)
}
