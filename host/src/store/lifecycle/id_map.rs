//! The id map: the ids of objects at a destination, which objects are there, and in which revision.

use std::collections::BTreeMap;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;

use crate::store::engine::sqlite::{self, Connection, Row};
use crate::store::engine::statement::{self, CHUNK};
use crate::store::engine::writer::WriteTx;
use crate::store::rows::{IdMapChange, columns};
use crate::store::{Store, StoreError};

impl Store {
    /// The ids of each of these objects at the destination.
    pub async fn remotes(
        &self,
        connection: ConnectionId,
        objects: &[ObjectKey],
    ) -> Result<Vec<Vec<Remote>>, StoreError> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let objects: Vec<_> = objects
            .iter()
            .map(|object| (connection, object.clone()))
            .collect();
        self.read(move |conn| Box::pin(async move { known(conn, &objects).await }))
            .await
    }

    /// Which of these objects are at the destination, as far as this host knows: delivered, and not
    /// deleted since then.
    pub async fn are_there(
        &self,
        connection: ConnectionId,
        objects: &[ObjectKey],
    ) -> Result<Vec<bool>, StoreError> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let objects = objects.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut there = Vec::with_capacity(objects.len());
                for object in &objects {
                    there.push(since(conn, connection, object, Wall(0)).await?);
                }
                Ok(there)
            })
        })
        .await
    }
}

/// Whether the object is at the destination and was last delivered at this time or later.
pub async fn since(
    conn: &mut Connection,
    connection: ConnectionId,
    object: &ObjectKey,
    at: Wall,
) -> Result<bool, StoreError> {
    let there = sqlite::query(
        "SELECT EXISTS (SELECT 1 FROM delivered WHERE connection_id = ?1 AND object_type = ?2 AND \
         object_id = ?3 AND at >= ?4)",
    )
    .bind(connection.0)
    .bind(&object.object_type)
    .bind(&object.id)
    .bind(at.0)
    .scalar(conn)?;
    Ok(there)
}

/// The result of a delivery at a destination.
#[derive(Debug)]
pub struct Delivered {
    pub connection: ConnectionId,
    pub object: ObjectKey,
    pub id_map: IdMapChange,
    /// The object was delivered now, with this revision if its source names one.
    pub delivered: Option<Option<u64>>,
}

pub async fn known(
    conn: &mut Connection,
    objects: &[(ConnectionId, ObjectKey)],
) -> Result<Vec<Vec<Remote>>, StoreError> {
    let mut remotes = vec![Vec::new(); objects.len()];
    for (chunk, found) in objects.chunks(CHUNK).zip(remotes.chunks_mut(CHUNK)) {
        let mut select = statement::values(
            "WITH w (i, c, t, o) AS MATERIALIZED (",
            chunk.iter().enumerate(),
            |row, (index, (connection, object))| {
                row.push_bind(i64::try_from(index).unwrap_or(i64::MAX))
                    .push_bind(connection.0)
                    .push_bind(object.object_type.as_str())
                    .push_bind(object.id.as_str());
            },
        );
        select.push(
            ") SELECT w.i AS place, r.kind, r.sub_id, r.remote_id, r.version, r.url FROM w JOIN \
             remote r ON r.connection_id = w.c AND r.object_type = w.t AND r.object_id = w.o ORDER \
             BY w.i, r.kind, r.sub_id",
        );
        for row in statement::rows(select, conn).await? {
            if let Some(found) = found.get_mut(columns::place(&row)?) {
                found.push(remote(&row)?);
            }
        }
    }
    Ok(remotes)
}

/// The ids of the object of a job `j`, as one column.
macro_rules! remotes_of_job {
    () => {
        "(SELECT json_group_array(json_array(kind, sub_id, remote_id, version, url)) FROM (SELECT \
         * FROM remote m WHERE m.connection_id = j.connection_id AND m.object_type = j.object_type \
         AND m.object_id = j.object_id ORDER BY kind, sub_id)) AS remotes"
    };
}
pub(in crate::store) use remotes_of_job;

/// The column of [`remotes_of_job`].
pub fn remotes_column(row: &Row) -> Result<Vec<Remote>, StoreError> {
    type Columns = (String, String, String, Option<String>, Option<String>);
    let rows: Option<Vec<Columns>> = columns::json(row, "remotes")?;
    let remote = |(kind, sub_id, id, version, url): Columns| Remote {
        kind,
        sub_id: sub_id_of(sub_id),
        id,
        version,
        url,
    };
    Ok(rows.unwrap_or_default().into_iter().map(remote).collect())
}

/// The table's key cannot hold a null.
fn sub_id_of(column: String) -> Option<String> {
    (!column.is_empty()).then_some(column)
}

fn remote(row: &Row) -> Result<Remote, StoreError> {
    Ok(Remote {
        kind: row.try_get("kind")?,
        sub_id: sub_id_of(row.try_get("sub_id")?),
        id: row.try_get("remote_id")?,
        version: row.try_get("version")?,
        url: row.try_get("url")?,
    })
}

/// Records deliveries, in their order.
pub async fn record(
    tx: &mut WriteTx,
    delivered: Vec<Delivered>,
    now: Wall,
) -> Result<(), StoreError> {
    for chunk in delivered.chunks(CHUNK) {
        let mut remotes = BTreeMap::new();
        for one in chunk {
            let list: &[Remote] = match &one.id_map {
                IdMapChange::Keep => continue,
                IdMapChange::Replace(list) => list,
                IdMapChange::Drop => &[],
            };
            remotes.insert((one.connection, &one.object), list);
        }
        let changed: Vec<_> = remotes.keys().copied().collect();
        delete(tx, "DELETE FROM remote WHERE", &changed).await?;
        let remotes: Vec<_> = remotes
            .into_iter()
            .flat_map(|(place, list)| list.iter().map(move |remote| (place, remote)))
            .collect();
        write(tx, &remotes, now).await?;
        let present: Vec<_> = chunk
            .iter()
            .filter_map(|one| one.delivered.map(|revision| (one, revision)))
            .collect();
        write_present(tx, &present, now).await?;
        let absent: Vec<_> = chunk
            .iter()
            .filter(|one| one.id_map == IdMapChange::Drop)
            .map(|one| (one.connection, &one.object))
            .collect();
        // A deleted object that returns may start at revision 1 again.
        delete(tx, "DELETE FROM delivered WHERE", &absent).await?;
    }
    Ok(())
}

/// Runs `head` for the rows of these objects.
async fn delete(
    tx: &mut WriteTx,
    head: &str,
    objects: &[(ConnectionId, &ObjectKey)],
) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        &format!("{head} (connection_id, object_type, object_id) IN ("),
        objects,
        |row, (connection, object)| {
            row.push_bind(connection.0)
                .push_bind(object.object_type.as_str())
                .push_bind(object.id.as_str());
        },
        ")",
    )
    .await?;
    Ok(())
}

async fn write(
    tx: &mut WriteTx,
    remotes: &[((ConnectionId, &ObjectKey), &Remote)],
    now: Wall,
) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        "INSERT INTO remote (connection_id, object_type, object_id, kind, sub_id, remote_id, \
         version, url, updated_at) ",
        remotes,
        |row, ((connection, object), remote)| {
            row.push_bind(connection.0)
                .push_bind(object.object_type.as_str())
                .push_bind(object.id.as_str())
                .push_bind(remote.kind.as_str())
                .push_bind(remote.sub_id.as_deref().unwrap_or_default())
                .push_bind(remote.id.as_str())
                .push_bind(remote.version.as_deref())
                .push_bind(remote.url.as_deref())
                .push_bind(now.0);
        },
        // A connector may name a kind twice; the last one counts.
        " ON CONFLICT (connection_id, object_type, object_id, kind, sub_id) DO UPDATE SET \
         remote_id = excluded.remote_id, version = excluded.version, url = excluded.url, \
         updated_at = excluded.updated_at",
    )
    .await?;
    Ok(())
}

async fn write_present(
    tx: &mut WriteTx,
    present: &[(&Delivered, Option<u64>)],
    now: Wall,
) -> Result<(), StoreError> {
    statement::run_values(
        tx,
        "INSERT INTO delivered (connection_id, object_type, object_id, revision, at, counted) ",
        present,
        |row, (one, revision)| {
            row.push_bind(one.connection.0)
                .push_bind(one.object.object_type.as_str())
                .push_bind(one.object.id.as_str())
                .push_bind(revision.map(|revision| i64::try_from(revision).unwrap_or(i64::MAX)))
                .push_bind(now.0)
                .push("1");
        },
        " ON CONFLICT (connection_id, object_type, object_id) DO UPDATE SET at = excluded.at, \
         counted = delivered.counted + 1, revision = CASE WHEN excluded.revision IS NULL OR \
         delivered.revision > excluded.revision THEN delivered.revision ELSE excluded.revision \
         END",
    )
    .await?;
    Ok(())
}
