//! The release of children when a job of the object that they wait for ends.
//!
//! Any number of children may wait for one object. One transaction notifies at most [`AT_ONCE`] of
//! them, including the transaction in which the parent ends. If there are more, the end is stored
//! (`pending_notification`), and later transactions notify the children in the order of the ends.
//! After an interruption, the next end or the next start continues.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::state::Wait;
use egression_core::domain::transition::Event;

use crate::store::dependencies::{edges, parents};
use crate::store::engine::predicates::{has_ended, is_active};
use crate::store::engine::sqlite::{self, Row};
use crate::store::engine::statement::{self, CHUNK};
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::rows::{Changes, columns};
use crate::store::{Store, StoreError};

/// Children that one transaction notifies.
pub const AT_ONCE: usize = 1000;
/// The host looks at an orphan again after this time, because the caller that settles it may die.
pub const LOOK_AGAIN_MS: i64 = 30_000;

/// A job that ends in this transaction.
#[derive(Clone, Copy, Debug)]
pub struct EndedJob<'a> {
    pub job: JobSeq,
    pub connection: ConnectionId,
    pub object: &'a ObjectKey,
    pub success: bool,
    /// It waited for objects itself.
    pub was_child: bool,
}

/// A child that waits for an object.
struct Edge {
    connection: ConnectionId,
    object: ObjectKey,
    child: JobSeq,
    parent: Option<JobSeq>,
}

/// The jobs that ended, by their objects, and whether they succeeded.
type Ended<'a> = HashMap<(ConnectionId, &'a ObjectKey), (JobSeq, bool)>;

impl Store {
    /// Notifies the children that earlier transactions left, in bounded transactions. The ends and
    /// the pending notifications are committed, so an error or a crash only delays them. One caller
    /// does the work for all: a caller that finds another one at work returns, because that one
    /// looks again before it stops.
    pub(in crate::store) async fn notify_rest(&self, mut changes: Changes) -> Changes {
        let pending = &self.inner.published.pending_notifications;
        while pending.load(Ordering::SeqCst) > 0 {
            let Ok(_notifying) = self.inner.notifying.try_lock() else {
                break;
            };
            let now = self.inner.clock.wall();
            let notified = self.write(AT_ONCE, move |tx| {
                Box::pin(async move {
                    let mut changes = JobChanges::at(now);
                    notify_some(tx, &mut changes).await?;
                    changes.finish(tx).await
                })
            });
            match notified.await {
                Ok(later) => changes.absorb(later),
                Err(error) => {
                    tracing::warn!(%error, "cannot notify the children of an ended job yet");
                    break;
                }
            }
        }
        changes
    }
}

/// Notifies the children of ended jobs. After a success the edge goes, and a child without edges is
/// ready. Otherwise the child waits for a newer unfinished job of the object, and is an orphan if
/// there is none.
pub async fn notify_dependents(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    jobs: &[EndedJob<'_>],
) -> Result<(), StoreError> {
    let children: Vec<_> = jobs
        .iter()
        .filter(|ended| ended.was_child)
        .map(|ended| ended.job)
        .collect();
    edges::forget(tx, &children).await?;
    let ended: Ended<'_> = jobs
        .iter()
        .map(|ended| ((ended.connection, ended.object), (ended.job, ended.success)))
        .collect();
    let edges = edges_to(tx, &ended, AT_ONCE + 1).await?;
    if edges.is_empty() {
        return Ok(());
    }
    // Ends keep their order: none overtakes those that are still pending.
    let pending: bool =
        sqlite::query("SELECT EXISTS (SELECT 1 FROM pending_notification)").scalar(&mut tx.conn)?;
    if pending || edges.len() > AT_ONCE {
        return keep(tx, &ended).await;
    }
    judge(tx, changes, edges, &ended).await
}

/// At most `most` of the edges to the objects of these jobs, by child.
async fn edges_to(
    tx: &mut WriteTx,
    ended: &Ended<'_>,
    most: usize,
) -> Result<Vec<Edge>, StoreError> {
    let mut edges: Vec<Edge> = Vec::new();
    let places: BTreeSet<_> = ended
        .keys()
        .map(|(connection, object)| (connection.0, object.hash().0))
        .collect();
    let places: Vec<_> = places.into_iter().collect();
    for chunk in places.chunks(CHUNK) {
        let mut select = statement::values(
            "WITH e (c, h) AS MATERIALIZED (",
            chunk,
            |row, (connection, hash)| {
                row.push_bind(*connection).push_bind(*hash);
            },
        );
        select.push(
            ") SELECT d.connection_id, d.parent_type AS object_type, d.parent_id AS object_id, \
             d.child_job, d.parent_job FROM e CROSS JOIN dependency d WHERE d.connection_id = e.c \
             AND d.parent_hash = e.h LIMIT ",
        );
        select.push_bind(i64::try_from(most - edges.len()).unwrap_or(i64::MAX));
        for row in statement::rows(select, &mut tx.conn).await? {
            edges.push(Edge {
                connection: ConnectionId(row.try_get("connection_id")?),
                object: columns::object(&row)?,
                child: JobSeq(row.try_get("child_job")?),
                parent: parent(&row)?,
            });
        }
        if edges.len() >= most {
            break;
        }
    }
    edges.sort_unstable_by_key(|edge| edge.child);
    Ok(edges)
}

/// Stores the ends of those jobs whose objects have children.
async fn keep(tx: &mut WriteTx, ended: &Ended<'_>) -> Result<(), StoreError> {
    let mut ended: Vec<_> = ended.iter().collect();
    ended.sort_unstable_by_key(|(_, (job, _))| *job);
    let kept = statement::run_values(
        tx,
        "WITH e (c, h, t, o, job, success) AS MATERIALIZED (",
        &ended,
        |row, ((connection, object), (job, success))| {
            row.push_bind(connection.0)
                .push_bind(object.hash().0)
                .push_bind(object.object_type.as_str())
                .push_bind(object.id.as_str())
                .push_bind(job.0)
                .push_bind(*success);
        },
        ") INSERT INTO pending_notification (connection_id, object_type, object_id, job_id, \
         success) SELECT c, t, o, job, success FROM e WHERE EXISTS (SELECT 1 FROM dependency d \
         WHERE d.connection_id = e.c AND d.parent_hash = e.h)",
    )
    .await?;
    tx.effects.pending_notifications += i64::try_from(kept).unwrap_or(i64::MAX);
    Ok(())
}

/// Notifies the next children of the stored ends.
async fn notify_some(tx: &mut WriteTx, changes: &mut JobChanges) -> Result<(), StoreError> {
    let mut left = AT_ONCE;
    while left > 0 {
        let next = "SELECT seq, connection_id, object_type, object_id, job_id, success, \
            notified_to FROM pending_notification ORDER BY seq LIMIT 1";
        let Some(row) = sqlite::query(next).fetch_optional(&mut tx.conn)? else {
            break;
        };
        let seq: i64 = row.try_get("seq")?;
        let connection = ConnectionId(row.try_get("connection_id")?);
        let object = columns::object(&row)?;
        let job = JobSeq(row.try_get("job_id")?);
        let ended = HashMap::from([((connection, &object), (job, row.try_get("success")?))]);
        let after = JobSeq(row.try_get("notified_to")?);
        let edges = edges_after(tx, connection, &object, after, left).await?;
        let notified = edges.len();
        match edges.last() {
            Some(last) if notified == left => {
                let step = sqlite::query(
                    "UPDATE pending_notification SET notified_to = ?1 WHERE seq = ?2",
                )
                .bind(last.child.0)
                .bind(seq);
                step.execute(&mut tx.conn)?;
            }
            _ => {
                sqlite::query("DELETE FROM pending_notification WHERE seq = ?1")
                    .bind(seq)
                    .execute(&mut tx.conn)?;
                tx.effects.pending_notifications -= 1;
            }
        }
        judge(tx, changes, edges, &ended).await?;
        left -= notified;
    }
    look_again(tx, changes).await
}

async fn edges_after(
    tx: &mut WriteTx,
    connection: ConnectionId,
    object: &ObjectKey,
    after: JobSeq,
    most: usize,
) -> Result<Vec<Edge>, StoreError> {
    let rows = sqlite::query(
        "SELECT child_job, parent_job FROM dependency WHERE connection_id = ?1 AND parent_hash = \
         ?2 AND child_job > ?3 AND parent_type = ?4 AND parent_id = ?5 ORDER BY child_job LIMIT \
         ?6",
    )
    .bind(connection.0)
    .bind(object.hash().0)
    .bind(after.0)
    .bind(&object.object_type)
    .bind(&object.id)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(&mut tx.conn)?;
    let edge = |row: &Row| {
        Ok(Edge {
            connection,
            object: object.clone(),
            child: JobSeq(row.try_get("child_job")?),
            parent: parent(row)?,
        })
    };
    rows.iter().map(edge).collect()
}

fn parent(row: &Row) -> Result<Option<JobSeq>, StoreError> {
    Ok(row.try_get::<Option<i64>>("parent_job")?.map(JobSeq))
}

/// Lets the host look at orphans again later: the caller that settles them may die before it does.
async fn look_again(tx: &mut WriteTx, changes: &mut JobChanges) -> Result<(), StoreError> {
    let at = changes.now.plus_ms(LOOK_AGAIN_MS);
    let orphans = changes.report.orphaned.clone();
    let waits_longer = |job: &LockedJob| match job.fields.state.wait() {
        Some(Wait::Dependency { until, .. }) => until.is_none_or(|until| until > at),
        _ => false,
    };
    changes
        .move_by(tx, &orphans, &Event::LookAgain { at }, waits_longer)
        .await?;
    Ok(())
}

async fn judge(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    edges: Vec<Edge>,
    ended: &Ended<'_>,
) -> Result<(), StoreError> {
    let known: Vec<_> = edges.iter().filter_map(|edge| edge.parent).collect();
    let ends = parents::ends(&mut tx.conn, &known).await?;
    let (mut through, mut failed) = (Vec::new(), Vec::new());
    for edge in edges {
        let Some((parent, success)) = ended.get(&(edge.connection, &edge.object)) else {
            continue;
        };
        // The child waits for a newer unfinished job of the object, which decides.
        if edge
            .parent
            .is_some_and(|known| known != *parent && !ends.contains_key(&known))
        {
            continue;
        }
        if *success {
            through.push(edge)
        } else {
            failed.push(edge)
        }
    }
    remove(tx, &through).await?;
    wait_for_newer(tx, changes, failed).await?;
    release(tx, changes, through.iter().map(|edge| edge.child).collect()).await
}

/// Points the children of failed jobs to the newest unfinished job of the object. Where there is
/// none, they are orphans.
async fn wait_for_newer(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    edges: Vec<Edge>,
) -> Result<(), StoreError> {
    let newest = newest_unfinished(tx, &edges).await?;
    let mut orphans: HashSet<_> = changes.report.orphaned.iter().copied().collect();
    let mut moved = Vec::new();
    for edge in edges {
        let newer = newest
            .get(&(edge.connection.0, edge.object.clone()))
            .into_iter()
            .flatten()
            .find(|job| **job != edge.child);
        match newer {
            Some(newer) => moved.push((edge, *newer)),
            None if orphans.insert(edge.child) => changes.report.orphaned.push(edge.child),
            None => {}
        }
    }
    point_to(tx, &moved).await
}

/// The two newest unfinished jobs of each object: one of them may be the child itself.
async fn newest_unfinished(
    tx: &mut WriteTx,
    edges: &[Edge],
) -> Result<HashMap<(i64, ObjectKey), Vec<JobSeq>>, StoreError> {
    let places: HashSet<_> = edges
        .iter()
        .map(|edge| (edge.connection.0, &edge.object))
        .collect();
    let places: Vec<_> = places.into_iter().collect();
    let mut newest: HashMap<_, Vec<_>> = HashMap::with_capacity(places.len());
    for chunk in places.chunks(CHUNK) {
        let mut select = statement::values(
            "WITH w (i, c, h, t, o) AS MATERIALIZED (",
            chunk.iter().enumerate(),
            |row, (index, (connection, object))| {
                row.push_bind(i64::try_from(index).unwrap_or(i64::MAX))
                    .push_bind(*connection)
                    .push_bind(object.hash().0)
                    .push_bind(object.object_type.as_str())
                    .push_bind(object.id.as_str());
            },
        );
        select.push(concat!(
            ") SELECT w.i AS place, j.id FROM w CROSS JOIN job j WHERE j.id IN (SELECT n.id FROM \
             job n JOIN execution x ON x.seq = n.id >> 24 AND x.seal IS NOT NULL WHERE \
             n.connection_id = w.c AND n.object_hash = w.h AND ",
            has_ended!("n."),
            " = FALSE AND ",
            is_active!("n."),
            " AND n.object_type = w.t AND n.object_id = w.o ORDER BY n.id DESC LIMIT 2) \
             ORDER BY w.i, j.id DESC",
        ));
        for row in statement::rows(select, &mut tx.conn).await? {
            if let Some((connection, object)) = chunk.get(columns::place(&row)?) {
                newest
                    .entry((*connection, (*object).clone()))
                    .or_default()
                    .push(JobSeq(row.try_get("id")?));
            }
        }
    }
    Ok(newest)
}

async fn point_to(tx: &mut WriteTx, edges: &[(Edge, JobSeq)]) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        "WITH n (c, h, child, parent) AS MATERIALIZED (",
        edges,
        |row, (edge, parent)| {
            row.push_bind(edge.connection.0)
                .push_bind(edge.object.hash().0)
                .push_bind(edge.child.0)
                .push_bind(parent.0);
        },
        ") UPDATE dependency SET parent_job = n.parent FROM n WHERE connection_id = n.c AND \
         parent_hash = n.h AND child_job = n.child",
    )
    .await?;
    Ok(())
}

async fn remove(tx: &mut WriteTx, edges: &[Edge]) -> Result<(), StoreError> {
    // One statement per object: with rows of values, the planner tries each child with each object.
    let mut places: HashMap<_, Vec<JobSeq>> = HashMap::new();
    for edge in edges {
        places
            .entry((edge.connection.0, edge.object.hash().0))
            .or_default()
            .push(edge.child);
    }
    for ((connection, hash), children) in places {
        for chunk in children.chunks(CHUNK) {
            let mut delete = statement::among(
                "DELETE FROM dependency WHERE child_job IN",
                chunk.iter().copied(),
            );
            delete
                .push(" AND connection_id = ")
                .push_bind(connection)
                .push(" AND parent_hash = ")
                .push_bind(hash);
            statement::run(delete, &mut tx.conn).await?;
        }
    }
    Ok(())
}

/// Makes the children ready that have no edge left.
async fn release(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    mut children: BTreeSet<JobSeq>,
) -> Result<(), StoreError> {
    let all: Vec<_> = children.iter().copied().collect();
    let held = "SELECT DISTINCT child_job FROM dependency WHERE child_job IN";
    for row in statement::rows_among(&mut tx.conn, held, &all).await? {
        children.remove(&JobSeq(row.try_get("child_job")?));
    }
    changes
        .report
        .orphaned
        .retain(|job| !children.contains(job));
    let free: Vec<_> = children.into_iter().collect();
    let released = changes
        .move_by(tx, &free, &Event::ParentsArrived, |job| {
            job.fields.waits_for_parents()
        })
        .await?;
    changes.report.released.extend(released);
    Ok(())
}
