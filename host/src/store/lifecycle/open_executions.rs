//! The scheduler's starting point: executions with unfinished jobs, and their open belts.

use std::collections::BTreeSet;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq};

use crate::store::engine::sqlite::{self, Connection, Row};
use crate::store::engine::statement::{self, Statement};
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters::{by_execution, progress_columns};
use crate::store::lifecycle::transition::LockedJob;
use crate::store::rows::OpenExecution;
use crate::store::{Store, StoreError};

impl Store {
    /// Executions with unfinished jobs, by seal.
    pub async fn open_executions(&self) -> Result<Vec<OpenExecution>, StoreError> {
        self.read(|conn| Box::pin(async move { open(conn, None).await }))
            .await
    }

    pub async fn open_execution(
        &self,
        execution: ExecutionSeq,
    ) -> Result<Option<OpenExecution>, StoreError> {
        self.read(move |conn| Box::pin(async move { Ok(open(conn, Some(execution)).await?.pop()) }))
            .await
    }

    /// Marks a belt as open; it stays open.
    pub async fn open_belt(
        &self,
        execution: ExecutionSeq,
        connection: ConnectionId,
        belt: u32,
    ) -> Result<(), StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move { mark_open(tx, execution, connection, belt).await })
        })
        .await
    }
}

/// The (execution, connection) pairs of these jobs of which the execution, the connection or its
/// channel is paused.
pub async fn paused_among(
    tx: &mut WriteTx,
    jobs: &[LockedJob],
) -> Result<BTreeSet<(ExecutionSeq, ConnectionId)>, StoreError> {
    let pairs: BTreeSet<_> = jobs
        .iter()
        .map(|job| (job.job.execution(), job.connection))
        .collect();
    let pairs: Vec<_> = pairs.into_iter().collect();
    let mut paused = BTreeSet::new();
    let rows = statement::rows_of_values(
        &mut tx.conn,
        "WITH w (execution, connection) AS MATERIALIZED (",
        &pairs,
        |row, (execution, connection)| {
            row.push_bind(execution.0).push_bind(connection.0);
        },
        ") SELECT w.execution, w.connection FROM w JOIN execution x ON x.seq = w.execution LEFT \
         JOIN connection n ON n.id = w.connection LEFT JOIN channel h ON h.id = n.channel_id \
         WHERE x.paused = TRUE OR n.state = 'paused' OR h.paused = TRUE",
    );
    for row in rows.await? {
        paused.insert((
            ExecutionSeq(row.try_get("execution")?),
            ConnectionId(row.try_get("connection")?),
        ));
    }
    Ok(paused)
}

pub async fn mark_open(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    connection: ConnectionId,
    belt: u32,
) -> Result<(), StoreError> {
    sqlite::query(
        "UPDATE progress SET opened = TRUE WHERE execution_seq = ?1 AND connection_id = \
        ?2 AND belt = ?3",
    )
    .bind(execution.0)
    .bind(connection.0)
    .bind(belt)
    .execute(&mut tx.conn)?;
    tx.effects.touched.insert(execution);
    Ok(())
}

async fn open(
    conn: &mut Connection,
    only: Option<ExecutionSeq>,
) -> Result<Vec<OpenExecution>, StoreError> {
    let mut select = Statement::new(
        "SELECT seq, paused FROM execution WHERE seal IS NOT NULL AND completed_at IS NULL",
    );
    let mut counters = Statement::new(concat!(
        "SELECT ",
        progress_columns!(),
        " FROM progress WHERE execution_seq IN (SELECT seq FROM execution WHERE seal IS NOT NULL \
         AND completed_at IS NULL)"
    ));
    if let Some(only) = only {
        select.push(" AND seq = ").push_bind(only.0);
        counters.push(" AND execution_seq = ").push_bind(only.0);
    }
    select.push(" ORDER BY seal");
    counters.push(" ORDER BY execution_seq, connection_id, belt");
    let executions = select.build().fetch_all(&mut *conn)?;
    let progress = counters.build().fetch_all(conn)?;
    let mut by_execution = by_execution(&progress)?;
    let execution = |row: &Row| {
        let seq = ExecutionSeq(row.try_get("seq")?);
        Ok(OpenExecution {
            seq,
            paused: row.try_get("paused")?,
            progress: by_execution.remove(&seq).unwrap_or_default(),
        })
    };
    executions.iter().map(execution).collect()
}
