//! Children that wait for an object at their destination, and what the end of its job means for them.

use std::collections::{BTreeSet, HashMap, HashSet};

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::Row as _;

use super::ending::Ending;
use super::moves::{self, Act};
use super::rows::NewEvent;
use super::statement::{self, CHUNK};
use super::waits::Wait;
use super::writer::WriteTx;
use super::{StoreError, history, remotes};

/// Which children have something to wait for.
#[derive(Debug, Default)]
pub(super) struct Edges {
    children: HashSet<JobSeq>,
}

impl Edges {
    /// Whether this child waits.
    pub(super) fn holds(&self, child: JobSeq) -> bool {
        self.children.contains(&child)
    }
}

/// Notes what the children among the waits wait for. A parent that is through by now is no reason to wait, nor is an
/// object that got there after the child was sent and refused; a parent that ended otherwise makes the child an orphan
/// at once; an edge that would close a cycle is left out, with an event.
/// Earlier edges of the children are forgotten already.
pub(super) async fn add(tx: &mut WriteTx, act: &mut Act, waits: &[Wait]) -> Result<Edges, StoreError> {
    let mut edges = Edges::default();
    let children: Vec<_> = waits.iter().filter(|wait| wait.reason == Some(WaitingKind::Dependency)).collect();
    let parents: Vec<_> = children.iter().flat_map(|wait| wait.parents.iter().filter_map(|(_, job)| *job)).collect();
    let ends = ends(tx, &parents).await?;
    for wait in children {
        let child = wait.job.job;
        let mut orphan = false;
        let mut rows = Vec::new();
        for (object, parent) in &wait.parents {
            match parent.and_then(|parent| ends.get(&parent)) {
                Some(true) => continue,
                Some(false) => {
                    orphan = true;
                    rows.push((object, None));
                }
                None if parent.is_none() && arrived_meanwhile(tx, wait, object).await? => continue,
                None if closes_cycle(tx, wait, object, *parent).await? => history::append(tx, &[(child, cycle_event(act, object))]).await?,
                None => rows.push((object, *parent)),
            }
        }
        if !rows.is_empty() {
            write(tx, wait.job.connection, child, &rows).await?;
        }
        if !rows.is_empty() || wait.parents.is_empty() {
            edges.children.insert(child);
        } else {
            act.changes.released.push(child);
        }
        if orphan {
            act.changes.orphaned.push(child);
        }
    }
    Ok(edges)
}

/// Forgets what these children waited for.
pub(super) async fn forget(tx: &mut WriteTx, children: &[JobSeq]) -> Result<(), StoreError> {
    for chunk in children.chunks(CHUNK) {
        statement::run(statement::among("DELETE FROM dependency WHERE child_job IN", chunk.iter().copied()), &mut tx.conn).await?;
    }
    Ok(())
}

/// Tells the children of ended jobs: after a success the edge goes and a child without edges is ready; otherwise the
/// child goes on waiting for a newer unfinished job of the object, and is an orphan if there is none.
pub(super) async fn parents_ended(tx: &mut WriteTx, act: &mut Act, endings: &[Ending]) -> Result<(), StoreError> {
    let ended_children: Vec<_> =
        endings.iter().filter(|ending| ending.job.standing.waiting == Some(WaitingKind::Dependency)).map(|ending| ending.job.job).collect();
    forget(tx, &ended_children).await?;
    let ended: HashMap<_, _> =
        endings.iter().map(|ending| ((ending.job.connection, &ending.job.object), (ending.job.job, is_success(ending.state)))).collect();
    let edges = edges_to(tx, endings).await?;
    if edges.is_empty() {
        return Ok(());
    }
    let others: Vec<_> = edges.iter().filter_map(|edge| edge.parent).collect();
    let ends = ends(tx, &others).await?;
    let mut loosened = BTreeSet::new();
    for edge in edges {
        let Some((parent, success)) = ended.get(&(edge.connection, &edge.object)) else { continue };
        // A newer unfinished job of the object is known: it decides.
        if edge.parent.is_some_and(|known| known != *parent && !ends.contains_key(&known)) {
            continue;
        }
        if *success {
            remove(tx, &edge).await?;
            loosened.insert(edge.child);
        } else if let Some(newer) = newest_unfinished(tx, &edge).await? {
            point_to(tx, &edge, newer).await?;
        } else if !act.changes.orphaned.contains(&edge.child) {
            act.changes.orphaned.push(edge.child);
        }
    }
    release(tx, act, loosened).await
}

const fn is_success(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Superseded)
}

/// A child that waits for an object.
struct Edge {
    connection: ConnectionId,
    object: ObjectKey,
    child: JobSeq,
    parent: Option<JobSeq>,
}

async fn edges_to(tx: &mut WriteTx, endings: &[Ending]) -> Result<Vec<Edge>, StoreError> {
    let mut edges = Vec::new();
    for chunk in endings.chunks(CHUNK) {
        let mut select = statement::values("WITH e (c, h) AS (", chunk, |mut row, ending| {
            row.push_bind(ending.job.connection.0).push_bind(ending.job.object_hash.0);
        });
        // DISTINCT: several jobs of an object may end at once.
        select.push(
            ") SELECT DISTINCT d.connection_id, d.parent_type, d.parent_id, d.child_job, d.parent_job \
             FROM e JOIN dependency d ON d.connection_id = e.c AND d.parent_hash = e.h ORDER BY d.child_job",
        );
        for row in statement::rows(select, &mut tx.conn).await? {
            edges.push(Edge {
                connection: ConnectionId(row.try_get(0)?),
                object: ObjectKey { object_type: row.try_get(1)?, id: row.try_get(2)? },
                child: JobSeq(row.try_get(3)?),
                parent: row.try_get::<Option<i64>, _>(4)?.map(JobSeq),
            });
        }
    }
    Ok(edges)
}

/// Of these jobs, the ended (or forgotten) ones, and whether that was a success.
async fn ends(tx: &mut WriteTx, jobs: &[JobSeq]) -> Result<HashMap<JobSeq, bool>, StoreError> {
    let distinct: BTreeSet<_> = jobs.iter().copied().collect();
    let distinct: Vec<_> = distinct.into_iter().collect();
    // A job that is gone has ended well: what ended badly would have told its children.
    let mut ends: HashMap<_, _> = distinct.iter().map(|job| (*job, true)).collect();
    for chunk in distinct.chunks(CHUNK) {
        for row in statement::rows(statement::among("SELECT id, state FROM job WHERE id IN", chunk.iter().copied()), &mut tx.conn).await? {
            let job = JobSeq(row.try_get(0)?);
            let state = moves::state(row.try_get(1)?)?;
            if state.is_terminal() {
                ends.insert(job, is_success(state));
            } else {
                ends.remove(&job);
            }
        }
    }
    Ok(ends)
}

async fn newest_unfinished(tx: &mut WriteTx, edge: &Edge) -> Result<Option<JobSeq>, StoreError> {
    let newest: Option<i64> = sqlx::query_scalar(
        "SELECT j.id FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL \
         WHERE j.connection_id = ? AND j.object_hash = ? AND (j.state > 2) = 0 AND (j.waiting IS NULL OR j.waiting NOT IN (1, 14)) \
         AND j.object_type = ? AND j.object_id = ? AND j.id <> ? ORDER BY j.id DESC LIMIT 1",
    )
    .bind(edge.connection.0)
    .bind(edge.object.hash().0)
    .bind(&edge.object.object_type)
    .bind(&edge.object.id)
    .bind(edge.child.0)
    .fetch_optional(&mut tx.conn)
    .await?;
    Ok(newest.map(JobSeq))
}

async fn write(tx: &mut WriteTx, connection: ConnectionId, child: JobSeq, rows: &[(&ObjectKey, Option<JobSeq>)]) -> Result<(), StoreError> {
    let mut insert = statement::values(
        "INSERT INTO dependency (connection_id, parent_hash, child_job, parent_job, parent_type, parent_id) ",
        rows,
        |mut row, (object, parent)| {
            row.push_bind(connection.0)
                .push_bind(object.hash().0)
                .push_bind(child.0)
                .push_bind(parent.map(|parent| parent.0))
                .push_bind(object.object_type.as_str())
                .push_bind(object.id.as_str());
        },
    );
    insert.push(" ON CONFLICT (connection_id, parent_hash, child_job) DO UPDATE SET parent_job = excluded.parent_job");
    statement::run(insert, &mut tx.conn).await?;
    Ok(())
}

async fn point_to(tx: &mut WriteTx, edge: &Edge, parent: JobSeq) -> Result<(), StoreError> {
    sqlx::query("UPDATE dependency SET parent_job = ? WHERE connection_id = ? AND parent_hash = ? AND child_job = ?")
        .bind(parent.0)
        .bind(edge.connection.0)
        .bind(edge.object.hash().0)
        .bind(edge.child.0)
        .execute(&mut tx.conn)
        .await?;
    Ok(())
}

async fn remove(tx: &mut WriteTx, edge: &Edge) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM dependency WHERE connection_id = ? AND parent_hash = ? AND child_job = ?")
        .bind(edge.connection.0)
        .bind(edge.object.hash().0)
        .bind(edge.child.0)
        .execute(&mut tx.conn)
        .await?;
    Ok(())
}

/// Makes those of the children ready that have nothing left to wait for.
async fn release(tx: &mut WriteTx, act: &mut Act, mut children: BTreeSet<JobSeq>) -> Result<(), StoreError> {
    let all: Vec<_> = children.iter().copied().collect();
    for chunk in all.chunks(CHUNK) {
        let select = statement::among("SELECT DISTINCT child_job FROM dependency WHERE child_job IN", chunk.iter().copied());
        for row in statement::rows(select, &mut tx.conn).await? {
            children.remove(&JobSeq(row.try_get(0)?));
        }
    }
    let free: Vec<_> = children.into_iter().collect();
    let moved: Vec<_> = moves::load(&mut tx.conn, &free)
        .await?
        .into_iter()
        .filter(|job| job.standing.state == JobState::Waiting && job.standing.waiting == Some(WaitingKind::Dependency))
        .map(|job| {
            let next = job.standing.waits(None, None);
            (job, next)
        })
        .collect();
    act.changes.orphaned.retain(|job| !free.contains(job));
    act.changes.released.extend(moved.iter().map(|(job, _)| job.job));
    act.apply(tx, moved).await
}

/// Whether the object was delivered after the child's intent was opened: the refusal may be older than that.
async fn arrived_meanwhile(tx: &mut WriteTx, wait: &Wait, object: &ObjectKey) -> Result<bool, StoreError> {
    let opened: Option<i64> =
        sqlx::query_scalar("SELECT opened_at FROM intent WHERE job_id = ?").bind(wait.job.job.0).fetch_optional(&mut tx.conn).await?;
    match opened {
        Some(at) => remotes::since(&mut tx.conn, wait.job.connection, object, Wall(at)).await,
        None => Ok(false),
    }
}

/// Whether the parent waits, through whatever many others, for the child.
async fn closes_cycle(tx: &mut WriteTx, wait: &Wait, object: &ObjectKey, parent: Option<JobSeq>) -> Result<bool, StoreError> {
    let found: bool = sqlx::query_scalar(
        "WITH RECURSIVE up (job) AS (\
         SELECT j.id FROM job j WHERE j.connection_id = ?1 AND j.object_hash = ?2 AND (j.state > 2) = 0 AND (?3 IS NULL OR j.id = ?3) \
         UNION SELECT p.id FROM up JOIN dependency d ON d.child_job = up.job \
         JOIN job p ON p.connection_id = d.connection_id AND p.object_hash = d.parent_hash AND (p.state > 2) = 0 \
         AND (d.parent_job IS NULL OR p.id = d.parent_job)) SELECT EXISTS (SELECT 1 FROM up WHERE job = ?4)",
    )
    .bind(wait.job.connection.0)
    .bind(object.hash().0)
    .bind(parent.map(|parent| parent.0))
    .bind(wait.job.job.0)
    .fetch_one(&mut tx.conn)
    .await?;
    Ok(found)
}

fn cycle_event(act: &Act, parent: &ObjectKey) -> NewEvent {
    NewEvent {
        at: act.now,
        stage: "reference_ignored",
        attempt: None,
        http_status: None,
        duration_ms: None,
        detail: Some(format!("{parent} waits for this object in turn; it is not waited for")),
        log: None,
    }
}
