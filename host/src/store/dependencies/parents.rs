//! Parents: unfinished jobs of the objects that a job refers to.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use sqlx::{Row as _, SqliteConnection};

use crate::store::dependencies::edges;
use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::{Store, StoreError};

impl Store {
    /// For each of `objects` (with the child that refers to it): the newest unfinished job of that
    /// object on this connection accepted no later than the child, other than the child. Jobs that
    /// wait for their time or are merged into another do not count.
    pub async fn unfinished_parents(
        &self,
        connection: ConnectionId,
        objects: &[(JobSeq, ObjectKey)],
    ) -> Result<Vec<Option<JobSeq>>, StoreError> {
        let objects = objects.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut parents = vec![None; objects.len()];
                for (chunk, found) in objects.chunks(CHUNK).zip(parents.chunks_mut(CHUNK)) {
                    find(conn, connection, chunk, found).await?;
                }
                Ok(parents)
            })
        })
        .await
    }

    /// For each child with an object that it would wait for (and the unfinished job of that, if one
    /// is known): whether that waits, through whatever many others, for the child.
    pub async fn close_circles(
        &self,
        connection: ConnectionId,
        pairs: &[(JobSeq, ObjectKey, Option<JobSeq>)],
    ) -> Result<Vec<bool>, StoreError> {
        let pairs = pairs.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut close = Vec::with_capacity(pairs.len());
                for (child, object, parent) in &pairs {
                    close.push(
                        edges::closes_cycle(conn, connection, *child, object, *parent).await?,
                    );
                }
                Ok(close)
            })
        })
        .await
    }
}

async fn find(
    conn: &mut SqliteConnection,
    connection: ConnectionId,
    objects: &[(JobSeq, ObjectKey)],
    found: &mut [Option<JobSeq>],
) -> Result<(), StoreError> {
    let mut select = statement::values(
        "WITH w (i, child, hash, type, oid) AS (",
        objects.iter().enumerate(),
        |row, (index, (child, object))| {
            row.push_bind(i64::try_from(index).unwrap_or(i64::MAX))
                .push_bind(child.0)
                .push_bind(object.hash().0)
                .push_bind(object.object_type.as_str())
                .push_bind(object.id.as_str());
        },
    );
    select
        .push(
            ") SELECT w.i, (SELECT p.id FROM job p JOIN execution px ON px.seq = p.id >> 24 AND px.seal IS NOT NULL \
             WHERE p.object_hash = w.hash AND (p.state > 2) = FALSE AND (p.waiting IS NULL OR p.waiting NOT IN (1, 14)) \
             AND p.object_type = w.type AND p.object_id = w.oid AND p.id <> w.child \
             AND CASE p.seal WHEN 0 THEN px.seal ELSE p.seal END <= CASE c.seal WHEN 0 THEN cx.seal ELSE c.seal END \
             AND p.connection_id = ",
        )
        .push_bind(connection.0)
        .push(
            " ORDER BY CASE p.seal WHEN 0 THEN px.seal ELSE p.seal END DESC, p.belt DESC, p.id DESC LIMIT 1) \
             FROM w JOIN job c ON c.id = w.child JOIN execution cx ON cx.seq = c.id >> 24",
        );
    for row in statement::rows(select, conn).await? {
        let index: i64 = row.try_get(0)?;
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| found.get_mut(index));
        if let Some(place) = place {
            *place = row.try_get::<Option<i64>, _>(1)?.map(JobSeq);
        }
    }
    Ok(())
}
