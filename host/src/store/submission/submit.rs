//! Receiving: staging, sealing, idempotency keys.

use std::collections::BTreeMap;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, SubscriptionId};
use egression_core::time::Wall;
use sqlx::Row as _;

use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters;
use crate::store::lifecycle::retention::keys_kept_since;
use crate::store::rows::{IdempotencyMark, IdempotencyRecord, NewExecution, Sealed, StagedItem};
use crate::store::submission::staging;
use crate::store::{Store, StoreError};

/// Rows that are removed in one transaction when an execution is abandoned.
const AT_ONCE: i64 = 1000;

impl Store {
    /// Makes an execution that is still being received. Removed at the next start if it is never
    /// sealed.
    pub async fn begin_execution(&self, new: NewExecution) -> Result<ExecutionSeq, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move {
                let seq = ExecutionSeq(tx.draw_number());
                begin(tx, seq, &new).await?;
                Ok(seq)
            })
        })
        .await
    }

    /// Adds at most 1,000 items to an unsealed execution. They are invisible to the scheduler.
    ///
    /// # Errors
    /// What the database says; [`StoreError::Corrupt`] if the execution is not being received.
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

    /// Makes an execution's jobs durable as a whole: counters, idempotency key, seal number, in one
    /// small transaction.
    ///
    /// # Errors
    /// What the database says; [`StoreError::Corrupt`] if the execution is not being received;
    /// [`StoreError::KeyUsed`] if another one was sealed under the key first, and
    /// [`StoreError::ConnectionGone`]: this one is still to be abandoned.
    pub async fn seal(
        &self,
        execution: ExecutionSeq,
        mark: Option<IdempotencyMark>,
    ) -> Result<Sealed, StoreError> {
        let now = self.inner.clock.wall();
        self.write(1, move |tx| {
            Box::pin(async move {
                must_be_open(tx, execution).await?;
                tx.effects.submitted = received(tx, execution).await?;
                let seal = tx.draw_number();
                seal_as(tx, Sealed { execution, seal }, mark, now).await
            })
        })
        .await
    }

    /// A small request (at most 1,000 items) in one transaction.
    ///
    /// # Errors
    /// What the database says; [`StoreError::KeyUsed`] if another one was sealed under the key
    /// first; [`StoreError::ConnectionGone`].
    pub async fn submit(
        &self,
        new: NewExecution,
        items: Vec<StagedItem>,
        mark: Option<IdempotencyMark>,
    ) -> Result<Sealed, StoreError> {
        let now = self.inner.clock.wall();
        self.write(items.len() + 1, move |tx| {
            Box::pin(async move {
                let seal = tx.draw_number();
                let execution = ExecutionSeq(seal);
                begin(tx, execution, &new).await?;
                for item in &items {
                    let connection = if let StagedItem::Job(job) = item {
                        job.connection
                    } else {
                        ConnectionId(0)
                    };
                    *tx.effects.submitted.entry(connection).or_default() += 1;
                }
                staging::add(tx, execution, items, now).await?;
                seal_as(tx, Sealed { execution, seal }, mark, now).await
            })
        })
        .await
    }

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

    /// What a key was used for. An execution that is no longer kept frees its key, as soon as a key
    /// need not be kept.
    pub async fn idempotency(
        &self,
        subscription: SubscriptionId,
        operation: &str,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        let (operation, key) = (operation.to_owned(), key.to_owned());
        let now = self.inner.clock.wall();
        self.read(move |conn| {
            Box::pin(async move {
                // What is past its time may be removed in part.
                let row = sqlx::query(
                    "SELECT i.execution_seq, i.body_hash FROM idempotency i JOIN execution x ON x.seq = i.execution_seq \
                     WHERE i.subscription_id = $1 AND i.operation = $2 AND i.key = $3 \
                     AND (x.expires_at IS NULL OR x.expires_at > $4 OR i.created_at > $5)",
                )
                .bind(subscription.0)
                .bind(operation)
                .bind(key)
                .bind(now.0)
                .bind(keys_kept_since(now))
                .fetch_optional(conn)
                .await?;
                row.map(|row| Ok(IdempotencyRecord { execution: ExecutionSeq(row.try_get(0)?), body_hash: hash(row.try_get(1)?)? }))
                    .transpose()
            })
        })
        .await
    }
}

/// A stored SHA-256.
pub(in crate::store) fn hash(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::Corrupt(format!("a hash of {} bytes", bytes.len())))
}

async fn begin(tx: &mut WriteTx, seq: ExecutionSeq, new: &NewExecution) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO execution (seq, public_id, subscription_id, operation, created_at, context, traceparent) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(seq.0)
    .bind(new.id.0.as_bytes().as_slice())
    .bind(new.subscription.0)
    .bind(new.operation)
    .bind(new.created_at.0)
    .bind(staging::json_of(new.context.as_ref())?)
    .bind(new.traceparent.as_deref())
    .execute(&mut tx.conn)
    .await?;
    Ok(())
}

/// Items of an execution by connection; 0: refused ones.
async fn received(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
) -> Result<BTreeMap<ConnectionId, u64>, StoreError> {
    let rows =
        sqlx::query("SELECT connection_id, CAST(sum(total) AS BIGINT) FROM progress WHERE execution_seq = $1 GROUP BY connection_id")
            .bind(execution.0)
            .fetch_all(&mut tx.conn)
            .await?;
    rows.iter()
        .map(|row| {
            Ok((
                ConnectionId(row.try_get(0)?),
                u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0),
            ))
        })
        .collect()
}

async fn is_open(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<bool, StoreError> {
    let open = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM execution WHERE seq = $1 AND seal IS NULL)",
    );
    Ok(open.bind(execution.0).fetch_one(&mut tx.conn).await?)
}

async fn must_be_open(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<(), StoreError> {
    if is_open(tx, execution).await? {
        Ok(())
    } else {
        Err(StoreError::Corrupt(format!(
            "execution {execution} is not being received"
        )))
    }
}

/// A connection may be removed while jobs for it arrive: nothing would ever send them.
async fn connections_must_be_there(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
) -> Result<(), StoreError> {
    let gone: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM progress WHERE execution_seq = $1 AND connection_id > 0 \
         AND connection_id NOT IN (SELECT id FROM connection))",
    )
    .bind(execution.0)
    .fetch_one(&mut tx.conn)
    .await?;
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
    sqlx::query("UPDATE execution SET seal = $1, sealed_at = $2 WHERE seq = $3 AND seal IS NULL")
        .bind(sealed.seal)
        .bind(now.0)
        .bind(sealed.execution.0)
        .execute(&mut tx.conn)
        .await?;
    if let Some(mark) = mark {
        // Who looked the key up before another request was sealed under it learns of that here, and
        // nowhere else.
        let marked = sqlx::query(
            "INSERT INTO idempotency (subscription_id, operation, key, body_hash, execution_seq, created_at) \
             SELECT subscription_id, $1, $2, $3, seq, $4 FROM execution WHERE seq = $5 \
             ON CONFLICT (subscription_id, operation, key) DO UPDATE SET body_hash = excluded.body_hash, \
             execution_seq = excluded.execution_seq, created_at = excluded.created_at WHERE idempotency.created_at <= $6 \
             AND NOT EXISTS (SELECT 1 FROM execution x WHERE x.seq = idempotency.execution_seq AND (x.expires_at IS NULL OR x.expires_at > $7))",
        )
        .bind(mark.operation)
        .bind(mark.key)
        .bind(mark.body_hash.as_slice())
        .bind(now.0)
        .bind(sealed.execution.0)
        .bind(keys_kept_since(now))
        .bind(now.0)
        .execute(&mut tx.conn)
        .await?;
        if marked.rows_affected() == 0 {
            return Err(StoreError::KeyUsed);
        }
    }
    // An execution whose items were all refused has nothing to wait for.
    counters::complete(tx, vec![sealed.execution], now).await?;
    tx.effects.touched.insert(sealed.execution);
    Ok(sealed)
}

/// Removes some rows of an unsealed execution; true if there may be more.
async fn remove_some(tx: &mut WriteTx, execution: ExecutionSeq) -> Result<bool, StoreError> {
    if !is_open(tx, execution).await? {
        return Ok(false);
    }
    let (first, end) = (execution.job(0).0, execution.end().0);
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM job WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1 OFFSET $3",
    )
    .bind(first)
    .bind(end)
    .bind(AT_ONCE)
    .fetch_optional(&mut tx.conn)
    .await?;
    let until = last.unwrap_or(end);
    sqlx::query("DELETE FROM payload WHERE job_id >= $1 AND job_id < $2")
        .bind(first)
        .bind(until)
        .execute(&mut tx.conn)
        .await?;
    sqlx::query("DELETE FROM job_detail WHERE job_id >= $1 AND job_id < $2")
        .bind(first)
        .bind(until)
        .execute(&mut tx.conn)
        .await?;
    sqlx::query("DELETE FROM job WHERE id >= $1 AND id < $2")
        .bind(first)
        .bind(until)
        .execute(&mut tx.conn)
        .await?;
    if last.is_some() {
        return Ok(true);
    }
    let waiting: i64 = sqlx::query_scalar(
        "SELECT CAST(coalesce(sum(waiting), 0) AS BIGINT) FROM progress WHERE execution_seq = $1",
    )
    .bind(execution.0)
    .fetch_one(&mut tx.conn)
    .await?;
    tx.effects.backlog -= waiting;
    // Counters and grouped errors go with it.
    sqlx::query("DELETE FROM execution WHERE seq = $1 AND seal IS NULL")
        .bind(execution.0)
        .execute(&mut tx.conn)
        .await?;
    Ok(false)
}
