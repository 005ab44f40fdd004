//! The edges from children to the objects that they wait for. `release.rs` says what the end of
//! such an object's job means for the children.

use std::collections::HashSet;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::time::Wall;

use crate::store::StoreError;
use crate::store::dependencies::cycles::closes_cycle;
use crate::store::dependencies::parents;
use crate::store::engine::sqlite;
use crate::store::engine::statement;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::JobChanges;
use crate::store::lifecycle::{id_map, job_history};
use crate::store::rows::NewEvent;

/// A job that starts to wait for objects.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    pub job: JobSeq,
    pub connection: ConnectionId,
    /// The objects, with the unfinished job of each if one is known.
    pub parents: &'a [(ObjectKey, Option<JobSeq>)],
}

/// Adds the edges of children, whose earlier edges are deleted already, and returns the children
/// that have to wait.
///
/// A child does not wait for a parent that succeeded meanwhile, nor for an object that arrived
/// after the child was sent and refused. A parent that ended otherwise makes the child an orphan at
/// once. An edge that would close a cycle is left out, with an event.
pub async fn add(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    children: &[Child<'_>],
) -> Result<HashSet<JobSeq>, StoreError> {
    let mut held = HashSet::new();
    let known: Vec<_> = children
        .iter()
        .flat_map(|child| child.parents.iter().filter_map(|(_, job)| *job))
        .collect();
    let ends = parents::ends(&mut tx.conn, &known).await?;
    for child in children {
        let mut orphan = false;
        let mut edges = Vec::new();
        for (object, parent) in child.parents {
            match parent.and_then(|parent| ends.get(&parent)) {
                Some(true) => continue,
                Some(false) => {
                    orphan = true;
                    edges.push((object, None));
                }
                None if parent.is_none() && arrived_meanwhile(tx, child, object).await? => continue,
                None if closes_cycle(
                    &mut tx.conn,
                    child.connection,
                    child.job,
                    object,
                    *parent,
                )
                .await? =>
                {
                    job_history::append(tx, &[(child.job, cycle_event(changes, object))]).await?
                }
                None => edges.push((object, *parent)),
            }
        }
        write(tx, child, &edges).await?;
        if !edges.is_empty() || child.parents.is_empty() {
            held.insert(child.job);
        } else {
            changes.report.released.push(child.job);
        }
        if orphan {
            changes.report.orphaned.push(child.job);
        }
    }
    Ok(held)
}

/// Deletes the edges of these children.
pub async fn forget(tx: &mut WriteTx, children: &[JobSeq]) -> Result<(), StoreError> {
    statement::run_among(tx, "DELETE FROM dependency WHERE child_job IN", children).await
}

async fn write(
    tx: &mut WriteTx,
    child: &Child<'_>,
    edges: &[(&ObjectKey, Option<JobSeq>)],
) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        "INSERT INTO dependency (connection_id, parent_hash, child_job, parent_job, parent_type, \
         parent_id) ",
        edges,
        |row, (object, parent)| {
            row.push_bind(child.connection.0)
                .push_bind(object.hash().0)
                .push_bind(child.job.0)
                .push_bind(parent.map(|parent| parent.0))
                .push_bind(object.object_type.as_str())
                .push_bind(object.id.as_str());
        },
        " ON CONFLICT (connection_id, parent_hash, child_job) DO UPDATE SET parent_job = \
         excluded.parent_job",
    )
    .await?;
    Ok(())
}

/// Whether the object arrived after the child's intent was opened: the refusal of the child may be
/// older than that. A child that was not sent waits for an object that was absent when somebody
/// looked; it may have arrived since, and nobody would notify the child.
async fn arrived_meanwhile(
    tx: &mut WriteTx,
    child: &Child<'_>,
    object: &ObjectKey,
) -> Result<bool, StoreError> {
    let opened: Option<i64> = sqlite::query("SELECT opened_at FROM intent WHERE job_id = ?1")
        .bind(child.job.0)
        .optional_scalar(&mut tx.conn)?;
    let since = Wall(opened.unwrap_or(0));
    id_map::since(&mut tx.conn, child.connection, object, since).await
}

fn cycle_event(changes: &JobChanges, parent: &ObjectKey) -> NewEvent {
    let detail = format!("{parent} waits for this object in turn; it is not waited for");
    NewEvent {
        at: changes.now,
        stage: "reference_ignored",
        attempt: None,
        http_status: None,
        duration_ms: None,
        detail: Some(detail),
        log: None,
    }
}
