//! Idempotency keys of submissions. The store refuses to seal a second execution under a key; the
//! API compares the bodies of the two requests.

use egression_core::domain::ids::{ExecutionSeq, SubscriptionId};
use egression_core::time::Wall;

use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::retention::keys_kept_since;
use crate::store::rows::{IdempotencyMark, IdempotencyRecord, columns};
use crate::store::{Store, StoreError};

impl Store {
    /// The execution of a key. A removed execution frees its key, but not before the key's minimum
    /// age.
    pub async fn idempotency(
        &self,
        subscription: SubscriptionId,
        operation: &str,
        key: &str,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        let now = self.inner.clock.wall();
        // An expired execution may be removed in part.
        let select = sqlite::query(
            "SELECT i.execution_seq, i.body_hash FROM idempotency i JOIN execution x ON x.seq = \
             i.execution_seq WHERE i.subscription_id = ?1 AND i.operation = ?2 AND i.key = ?3 AND \
             (x.expires_at IS NULL OR x.expires_at > ?4 OR i.created_at > ?5)",
        )
        .bind(subscription.0)
        .bind(operation)
        .bind(key)
        .bind(now.0)
        .bind(keys_kept_since(now));
        self.one(select, |row| {
            Ok(IdempotencyRecord {
                execution: ExecutionSeq(row.try_get("execution_seq")?),
                body_hash: columns::hash(row, "body_hash")?,
            })
        })
        .await
    }
}

/// Writes the key of an execution that is being sealed. Errors: [`StoreError::KeyUsed`] if another
/// execution was sealed under the key first.
pub async fn mark(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    mark: IdempotencyMark,
    now: Wall,
) -> Result<(), StoreError> {
    // A caller that looked the key up before another request was sealed under it learns of that
    // only here.
    let marked = sqlite::query(
        "INSERT INTO idempotency (subscription_id, operation, key, body_hash, execution_seq, \
         created_at) SELECT subscription_id, ?1, ?2, ?3, seq, ?4 FROM execution WHERE seq = ?5 ON \
         CONFLICT (subscription_id, operation, key) DO UPDATE SET body_hash = excluded.body_hash, \
         execution_seq = excluded.execution_seq, created_at = excluded.created_at WHERE \
         idempotency.created_at <= ?6 AND NOT EXISTS (SELECT 1 FROM execution x WHERE x.seq = \
         idempotency.execution_seq AND (x.expires_at IS NULL OR x.expires_at > ?7))",
    )
    .bind(mark.operation)
    .bind(mark.key)
    .bind(mark.body_hash.as_slice())
    .bind(now.0)
    .bind(execution.0)
    .bind(keys_kept_since(now))
    .bind(now.0)
    .execute(&mut tx.conn)?;
    if marked == 0 {
        return Err(StoreError::KeyUsed);
    }
    Ok(())
}
