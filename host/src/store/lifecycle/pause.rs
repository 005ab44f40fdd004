//! Pauses of executions, and the release of belts that are held for a person.

use egression_core::domain::belt::{BeltGate, BeltOnFailure, gate};
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};

use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters::{progress_columns, progress_row};
use crate::store::lifecycle::open_executions;
use crate::store::rows::{Changes, ProgressRow};
use crate::store::{Store, StoreError};

impl Store {
    /// Pauses an execution; false if it was paused already.
    pub async fn pause_execution(&self, execution: ExecutionSeq) -> Result<bool, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move { set_paused(tx, execution, true).await })
        })
        .await
    }

    /// Resumes an execution, and releases its held belts on the connections of `holding`, whose
    /// channels hold belts for a person. Returns whether it was paused, and the belts that opened.
    pub async fn resume_execution(
        &self,
        execution: ExecutionSeq,
        holding: Vec<ConnectionId>,
    ) -> Result<(bool, Changes), StoreError> {
        self.write(1 + holding.len(), move |tx| {
            Box::pin(async move {
                let was_paused = set_paused(tx, execution, false).await?;
                let mut changes = Changes::default();
                for connection in holding {
                    changes
                        .progress
                        .extend(release_belt(tx, execution, connection).await?);
                }
                Ok((was_paused, changes))
            })
        })
        .await
    }
}

async fn set_paused(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    paused: bool,
) -> Result<bool, StoreError> {
    let changed = sqlite::query("UPDATE execution SET paused = ?1 WHERE seq = ?2 AND paused <> ?1")
        .bind(paused)
        .bind(execution.0)
        .execute(&mut tx.conn)?;
    if changed > 0 {
        tx.effects.touched.insert(execution);
    }
    Ok(changed > 0)
}

/// Opens the belt that is held on a connection, if any. It stays open, also after a restart.
async fn release_belt(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    connection: ConnectionId,
) -> Result<Option<ProgressRow>, StoreError> {
    // Decided here: since the request, an earlier belt may have become active again.
    let rows = sqlite::query(concat!(
        "SELECT ",
        progress_columns!(),
        " FROM progress WHERE execution_seq = ?1 AND connection_id = ?2 ORDER BY belt"
    ))
    .bind(execution.0)
    .bind(connection.0)
    .fetch_all(&mut tx.conn)?;
    let rows = rows
        .iter()
        .map(progress_row)
        .collect::<Result<Vec<_>, _>>()?;
    let belts: Vec<_> = rows.iter().map(|row| row.belt).collect();
    let Some(held) =
        (0..belts.len()).find(|index| gate(&belts, *index, BeltOnFailure::Hold) == BeltGate::Held)
    else {
        return Ok(None);
    };
    let mut row = rows[held];
    open_executions::mark_open(tx, execution, connection, row.belt.belt).await?;
    row.belt.opened = true;
    Ok(Some(row))
}
