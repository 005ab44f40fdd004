//! Parents: the jobs of the objects that a job refers to, unfinished or ended.

use std::collections::{BTreeSet, HashMap};

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::state::JobState;

use crate::store::engine::predicates::{has_ended, is_active};
use crate::store::engine::sqlite::Connection;
use crate::store::engine::statement::{self, CHUNK};
use crate::store::rows::columns;
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
        if objects.is_empty() {
            return Ok(Vec::new());
        }
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
}

async fn find(
    conn: &mut Connection,
    connection: ConnectionId,
    objects: &[(JobSeq, ObjectKey)],
    found: &mut [Option<JobSeq>],
) -> Result<(), StoreError> {
    let mut select = statement::values(
        "WITH w (i, child, hash, type, oid) AS MATERIALIZED (",
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
        .push(concat!(
            ") SELECT w.i AS place, (SELECT p.id FROM job p JOIN execution px ON px.seq = p.id >> \
                24 AND px.seal IS NOT NULL WHERE p.object_hash = w.hash AND ",
            has_ended!("p."),
            " = FALSE AND ",
            is_active!("p."),
            " \
                 AND p.object_type = w.type AND p.object_id = w.oid AND p.id <> w.child AND CASE \
                 p.seal WHEN 0 THEN px.seal ELSE p.seal END <= CASE c.seal WHEN 0 THEN cx.seal \
                 ELSE c.seal END AND p.connection_id = "
        ))
        .push_bind(connection.0)
        .push(
            " ORDER BY CASE p.seal WHEN 0 THEN px.seal ELSE p.seal END DESC, p.belt DESC, p.id \
             DESC LIMIT 1) AS parent FROM w JOIN job c ON c.id = w.child JOIN execution cx ON \
             cx.seq = c.id >> 24",
        );
    for row in statement::rows(select, conn).await? {
        if let Some(place) = found.get_mut(columns::place(&row)?) {
            *place = row.try_get::<Option<i64>>("parent")?.map(JobSeq);
        }
    }
    Ok(())
}

/// The ended ones of these jobs, and whether they succeeded. A job that no longer exists ended
/// well: one that ended badly would have notified its children.
pub async fn ends(
    conn: &mut Connection,
    jobs: &[JobSeq],
) -> Result<HashMap<JobSeq, bool>, StoreError> {
    let distinct: BTreeSet<_> = jobs.iter().copied().collect();
    let distinct: Vec<_> = distinct.into_iter().collect();
    let mut ends: HashMap<_, _> = distinct.iter().map(|job| (*job, true)).collect();
    let select = "SELECT id, state FROM job WHERE id IN";
    for row in statement::rows_among(conn, select, &distinct).await? {
        let job = JobSeq(row.try_get("id")?);
        let state = columns::state(&row, "state")?;
        if state.is_terminal() {
            ends.insert(job, is_success(state));
        } else {
            ends.remove(&job);
        }
    }
    Ok(ends)
}

/// The object is at the destination, or a newer job brings it there.
pub const fn is_success(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Superseded)
}
