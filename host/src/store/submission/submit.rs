//! Executions from their beginning to their seal.

use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::time::Wall;

use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters;
use crate::store::rows::{IdempotencyMark, NewExecution, Sealed, StagedItem, columns};
use crate::store::submission::{abandon, idempotency_keys, staging};
use crate::store::{Store, StoreError};

impl Store {
    /// Creates an unsealed execution. The next start removes it if it is never sealed.
    pub async fn begin_execution(&self, new: NewExecution) -> Result<ExecutionSeq, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move {
                let seq = ExecutionSeq(tx.next_number());
                begin(tx, seq, &new).await?;
                Ok(seq)
            })
        })
        .await
    }

    /// Adds at most 1,000 items to an unsealed execution. The scheduler does not see them. Errors:
    /// [`StoreError::Corrupt`] if the execution is sealed or unknown.
    pub async fn stage(
        &self,
        execution: ExecutionSeq,
        items: Vec<StagedItem>,
    ) -> Result<(), StoreError> {
        let now = self.inner.clock.wall();
        self.write(items.len(), move |tx| {
            Box::pin(async move {
                must_be_open(tx, execution).await?;
                staging::add(tx, execution, items, now).await
            })
        })
        .await
    }

    /// Seals an execution in one small transaction: seal number and idempotency key. From now on
    /// its jobs are accepted, all or none. Errors: [`StoreError::Corrupt`] if the execution is
    /// sealed or unknown. After [`StoreError::KeyUsed`] (another execution was sealed under the key
    /// first) and [`StoreError::ConnectionGone`], the caller abandons the execution.
    pub async fn seal(
        &self,
        execution: ExecutionSeq,
        mark: Option<IdempotencyMark>,
    ) -> Result<Sealed, StoreError> {
        let now = self.inner.clock.wall();
        self.write(1, move |tx| {
            Box::pin(async move {
                must_be_open(tx, execution).await?;
                count_received(tx, execution).await?;
                let seal = tx.next_number();
                seal_as(tx, Sealed { execution, seal }, mark, now).await
            })
        })
        .await
    }

    /// Begins, stages and seals a small execution (at most 1,000 items) in one transaction. Errors:
    /// [`StoreError::KeyUsed`] if another execution was sealed under the key first;
    /// [`StoreError::ConnectionGone`].
    pub async fn submit(
        &self,
        new: NewExecution,
        items: Vec<StagedItem>,
        mark: Option<IdempotencyMark>,
    ) -> Result<Sealed, StoreError> {
        let now = self.inner.clock.wall();
        self.write(items.len() + 1, move |tx| {
            Box::pin(async move {
                let seal = tx.next_number();
                let execution = ExecutionSeq(seal);
                begin(tx, execution, &new).await?;
                for item in &items {
                    match item {
                        StagedItem::Job(job) => {
                            *tx.effects.submitted.entry(job.connection).or_default() += 1;
                        }
                        StagedItem::Refused { .. } => tx.effects.refused += 1,
                    }
                }
                staging::add(tx, execution, items, now).await?;
                seal_as(tx, Sealed { execution, seal }, mark, now).await
            })
        })
        .await
    }
}

async fn begin(tx: &mut WriteTx, seq: ExecutionSeq, new: &NewExecution) -> Result<(), StoreError> {
    sqlite::query(
        "INSERT INTO execution (seq, public_id, subscription_id, operation, created_at, context, \
         traceparent) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(seq.0)
    .bind(new.id.0.as_bytes().as_slice())
    .bind(new.subscription.0)
    .bind(new.operation)
    .bind(new.created_at.0)
    .bind(staging::json_of(new.context.as_ref())?)
    .bind(new.traceparent.as_deref())
    .execute(&mut tx.conn)?;
    Ok(())
}

/// Counts an execution's items for the metrics.
async fn count_received(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<(), StoreError> {
    let rows = sqlite::query(
        "SELECT connection_id, sum(total) AS jobs FROM progress WHERE execution_seq = ?1 \
         GROUP BY connection_id",
    )
    .bind(execution.0)
    .fetch_all(&mut tx.conn)?;
    for row in rows {
        let connection = ConnectionId(row.try_get("connection_id")?);
        let jobs = columns::count(&row, "jobs")?;
        tx.effects.submitted.insert(connection, jobs);
    }
    let refused = sqlite::query("SELECT refused FROM execution WHERE seq = ?1");
    let row = refused.bind(execution.0).fetch_one(&mut tx.conn)?;
    tx.effects.refused += columns::count(&row, "refused")?;
    Ok(())
}

async fn must_be_open(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<(), StoreError> {
    if abandon::is_open(tx, execution).await? {
        Ok(())
    } else {
        Err(StoreError::Corrupt(format!(
            "execution {execution} is not being received"
        )))
    }
}

/// A connection may be removed while its jobs arrive: nothing would ever send them.
async fn connections_must_be_there(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
) -> Result<(), StoreError> {
    let gone: bool = sqlite::query(
        "SELECT EXISTS (SELECT 1 FROM progress WHERE execution_seq = ?1 AND connection_id \
         NOT IN (SELECT id FROM connection))",
    )
    .bind(execution.0)
    .scalar(&mut tx.conn)?;
    if gone {
        Err(StoreError::ConnectionGone)
    } else {
        Ok(())
    }
}

async fn seal_as(
    tx: &mut WriteTx,
    sealed: Sealed,
    mark: Option<IdempotencyMark>,
    now: Wall,
) -> Result<Sealed, StoreError> {
    connections_must_be_there(tx, sealed.execution).await?;
    sqlite::query("UPDATE execution SET seal = ?1, sealed_at = ?2 WHERE seq = ?3 AND seal IS NULL")
        .bind(sealed.seal)
        .bind(now.0)
        .bind(sealed.execution.0)
        .execute(&mut tx.conn)?;
    if let Some(mark) = mark {
        idempotency_keys::mark(tx, sealed.execution, mark, now).await?;
    }
    // If all items were refused, the execution is complete.
    counters::complete(tx, vec![sealed.execution], now).await?;
    tx.effects.touched.insert(sealed.execution);
    Ok(sealed)
}
