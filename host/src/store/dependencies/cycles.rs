//! Cycles: an object that a job would wait for may wait, directly or through others, for that job.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;

use crate::store::engine::predicates::has_ended;
use crate::store::engine::sqlite::{self, Connection};
use crate::store::{Store, StoreError};

impl Store {
    /// For each child with an object that it would wait for (and the unfinished job of that, if one
    /// is known): whether that waits, through whatever many others, for the child.
    pub async fn close_cycles(
        &self,
        connection: ConnectionId,
        pairs: &[(JobSeq, ObjectKey, Option<JobSeq>)],
    ) -> Result<Vec<bool>, StoreError> {
        let pairs = pairs.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut close = Vec::with_capacity(pairs.len());
                for (child, object, parent) in &pairs {
                    close.push(closes_cycle(conn, connection, *child, object, *parent).await?);
                }
                Ok(close)
            })
        })
        .await
    }
}

/// Whether the parent waits, through whatever many others, for the child.
pub async fn closes_cycle(
    conn: &mut Connection,
    connection: ConnectionId,
    child: JobSeq,
    object: &ObjectKey,
    parent: Option<JobSeq>,
) -> Result<bool, StoreError> {
    let found: bool = sqlite::query(concat!(
        "WITH RECURSIVE up (job) AS (\
         SELECT j.id FROM job j WHERE j.connection_id = ?1 AND j.object_hash = ?2 AND ",
        has_ended!("j."),
        " \
             = FALSE AND (j.id = ?3 OR ?3 IS NULL) UNION SELECT p.id FROM up JOIN dependency d ON \
             d.child_job = up.job JOIN job p ON p.connection_id = d.connection_id AND \
             p.object_hash = d.parent_hash AND ",
        has_ended!("p."),
        " \
             = FALSE AND (d.parent_job IS NULL OR p.id = d.parent_job)) SELECT EXISTS (SELECT 1 \
             FROM up WHERE job = ?4)"
    ))
    .bind(connection.0)
    .bind(object.hash().0)
    .bind(parent.map(|parent| parent.0))
    .bind(child.0)
    .scalar(conn)?;
    Ok(found)
}
