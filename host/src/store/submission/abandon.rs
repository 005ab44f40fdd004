//! The removal of executions that were never sealed.

use egression_core::domain::ids::ExecutionSeq;

use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::{Store, StoreError};

/// Rows that one transaction removes.
const AT_ONCE: i64 = 1000;

impl Store {
    /// Removes an unsealed execution, in bounded transactions.
    pub async fn abandon(&self, execution: ExecutionSeq) -> Result<(), StoreError> {
        while self
            .write(1000, move |tx| {
                Box::pin(async move { remove_some(tx, execution).await })
            })
            .await?
        {}
        Ok(())
    }
}

/// Whether the execution is still being received.
pub async fn is_open(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<bool, StoreError> {
    let open =
        sqlite::query("SELECT EXISTS (SELECT 1 FROM execution WHERE seq = ?1 AND seal IS NULL)");
    open.bind(execution.0).scalar(&mut tx.conn)
}

/// Removes some rows of an unsealed execution; true if there may be more.
async fn remove_some(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<bool, StoreError> {
    if !is_open(tx, execution).await? {
        return Ok(false);
    }
    let (first, end) = (execution.job(0).0, execution.end().0);
    let last: Option<i64> = sqlite::query(
        "SELECT id FROM job WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1 OFFSET ?3",
    )
    .bind(first)
    .bind(end)
    .bind(AT_ONCE)
    .optional_scalar(&mut tx.conn)?;
    let until = last.unwrap_or(end);
    for part in [
        "DELETE FROM payload WHERE job_id >= ?1 AND job_id < ?2",
        "DELETE FROM job_detail WHERE job_id >= ?1 AND job_id < ?2",
        "DELETE FROM job WHERE id >= ?1 AND id < ?2",
    ] {
        let delete = sqlite::query(part).bind(first).bind(until);
        delete.execute(&mut tx.conn)?;
    }
    if last.is_some() {
        return Ok(true);
    }
    let waiting: i64 =
        sqlite::query("SELECT coalesce(sum(waiting), 0) FROM progress WHERE execution_seq = ?1")
            .bind(execution.0)
            .scalar(&mut tx.conn)?;
    tx.effects.backlog -= waiting;
    // The foreign keys delete its counters and grouped errors.
    sqlite::query("DELETE FROM execution WHERE seq = ?1 AND seal IS NULL")
        .bind(execution.0)
        .execute(&mut tx.conn)?;
    Ok(false)
}
