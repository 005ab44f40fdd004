//! Children that wait for an object at their destination. What the end of its job means for them is
//! in `parent_ends.rs`.

use std::collections::HashSet;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::SqliteConnection;

use crate::store::StoreError;
use crate::store::dependencies::release;
use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::JobChanges;
use crate::store::lifecycle::waits::Wait;
use crate::store::lifecycle::{events, id_map};
use crate::store::rows::NewEvent;

/// Which children have something to wait for.
#[derive(Debug, Default)]
pub(in crate::store) struct Edges {
    children: HashSet<JobSeq>,
}

impl Edges {
    pub(in crate::store) fn holds(&self, child: JobSeq) -> bool {
        self.children.contains(&child)
    }
}

/// Notes what the children among the waits wait for. A parent that is through by now is no reason
/// to wait, nor is an object that got there after the child was sent and refused; a parent that
/// ended otherwise makes the child an orphan at once; an edge that would close a cycle is left out,
/// with an event. Earlier edges of the children are forgotten already.
pub(in crate::store) async fn add(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    waits: &[Wait],
) -> Result<Edges, StoreError> {
    let mut edges = Edges::default();
    let children: Vec<_> = waits
        .iter()
        .filter(|wait| wait.reason == Some(WaitingKind::Dependency))
        .collect();
    let parents: Vec<_> = children
        .iter()
        .flat_map(|wait| wait.parents.iter().filter_map(|(_, job)| *job))
        .collect();
    let ends = release::ends(tx, &parents).await?;
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
                None if closes_cycle(&mut tx.conn, wait.job.connection, child, object, *parent)
                    .await? =>
                {
                    events::append(tx, &[(child, cycle_event(changes, object))]).await?
                }
                None => rows.push((object, *parent)),
            }
        }
        if !rows.is_empty() {
            write(tx, wait.job.connection, child, &rows).await?;
        }
        if !rows.is_empty() || wait.parents.is_empty() {
            edges.children.insert(child);
        } else {
            changes.report.released.push(child);
        }
        if orphan {
            changes.report.orphaned.push(child);
        }
    }
    Ok(edges)
}

/// Forgets what these children waited for.
pub(in crate::store) async fn forget(
    tx: &mut WriteTx,
    children: &[JobSeq],
) -> Result<(), StoreError> {
    for chunk in children.chunks(CHUNK) {
        statement::run(
            statement::among(
                "DELETE FROM dependency WHERE child_job IN",
                chunk.iter().copied(),
            ),
            &mut tx.conn,
        )
        .await?;
    }
    Ok(())
}

async fn write(
    tx: &mut WriteTx,
    connection: ConnectionId,
    child: JobSeq,
    rows: &[(&ObjectKey, Option<JobSeq>)],
) -> Result<(), StoreError> {
    let mut insert = statement::values(
        "INSERT INTO dependency (connection_id, parent_hash, child_job, parent_job, parent_type, parent_id) ",
        rows,
        |row, (object, parent)| {
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

/// Whether the object was delivered after the child's intent was opened: the refusal may be older
/// than that. A child that was not sent waits for an object that was not known to be there when
/// somebody looked: it may be by now, and nobody would tell the child.
async fn arrived_meanwhile(
    tx: &mut WriteTx,
    wait: &Wait,
    object: &ObjectKey,
) -> Result<bool, StoreError> {
    let opened: Option<i64> = sqlx::query_scalar("SELECT opened_at FROM intent WHERE job_id = $1")
        .bind(wait.job.job.0)
        .fetch_optional(&mut tx.conn)
        .await?;
    id_map::since(
        &mut tx.conn,
        wait.job.connection,
        object,
        Wall(opened.unwrap_or(0)),
    )
    .await
}

/// Whether the parent waits, through whatever many others, for the child.
pub(in crate::store) async fn closes_cycle(
    conn: &mut SqliteConnection,
    connection: ConnectionId,
    child: JobSeq,
    object: &ObjectKey,
    parent: Option<JobSeq>,
) -> Result<bool, StoreError> {
    let found: bool = sqlx::query_scalar(
        "WITH RECURSIVE up (job) AS (\
         SELECT j.id FROM job j WHERE j.connection_id = $1 AND j.object_hash = $2 AND (j.state > 2) = FALSE AND (j.id = $3 OR $3 IS NULL) \
         UNION SELECT p.id FROM up JOIN dependency d ON d.child_job = up.job \
         JOIN job p ON p.connection_id = d.connection_id AND p.object_hash = d.parent_hash AND (p.state > 2) = FALSE \
         AND (d.parent_job IS NULL OR p.id = d.parent_job)) SELECT EXISTS (SELECT 1 FROM up WHERE job = $4)",
    )
    .bind(connection.0)
    .bind(object.hash().0)
    .bind(parent.map(|parent| parent.0))
    .bind(child.0)
    .fetch_one(conn)
    .await?;
    Ok(found)
}

fn cycle_event(changes: &JobChanges, parent: &ObjectKey) -> NewEvent {
    NewEvent {
        at: changes.now,
        stage: "reference_ignored",
        attempt: None,
        http_status: None,
        duration_ms: None,
        detail: Some(format!(
            "{parent} waits for this object in turn; it is not waited for"
        )),
        log: None,
    }
}
