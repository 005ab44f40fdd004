//! The counters of belts, kept in the transaction of each change of a job. Nothing is ever counted
//! live.

use std::collections::BTreeMap;

use egression_core::domain::belt::BeltProgress;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;
use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::engine::writer::WriteTx;
use crate::store::rows::ProgressRow;

/// The columns of a progress row, in the order of [`progress_row`].
macro_rules! progress_columns {
    () => {
        "execution_seq, connection_id, belt, total, waiting, in_flight, accepted, succeeded, rejected, failed, unknown, superseded, cancelled, set_aside, scheduled, retrying, priorities, opened, sourcing, blocked, sent, version"
    };
}
pub(in crate::store) use progress_columns;

/// A belt of an execution on a connection.
pub(in crate::store) type BeltKey = (ExecutionSeq, ConnectionId, u32);

/// By how much the counters of a belt change.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct BeltDelta {
    pub(in crate::store) states: [i64; 9],
    pub(in crate::store) set_aside: i64,
    pub(in crate::store) scheduled: i64,
    pub(in crate::store) retrying: i64,
    pub(in crate::store) sourcing: i64,
    pub(in crate::store) blocked: i64,
}

impl BeltDelta {
    /// A job of this state comes (`1`) or goes (`-1`).
    pub(in crate::store) fn count(
        &mut self,
        state: JobState,
        waiting: Option<WaitingKind>,
        by: i64,
    ) {
        self.states[state as usize] += by;
        if let (JobState::Waiting, Some(kind)) = (state, waiting) {
            self.set_aside += if kind.is_set_aside() { by } else { 0 };
            self.scheduled += if kind == WaitingKind::Schedule { by } else { 0 };
            self.retrying += if kind == WaitingKind::Retry { by } else { 0 };
            self.sourcing += if kind == WaitingKind::Source { by } else { 0 };
            self.blocked += if kind == WaitingKind::Blocked { by } else { 0 };
        }
    }

    /// By how many the unfinished jobs change.
    pub(in crate::store) const fn open(&self) -> i64 {
        self.states[0] + self.states[1] + self.states[2]
    }
}

/// Changes of counters, gathered while a change does its work.
#[derive(Debug, Default)]
pub(in crate::store) struct CounterDeltas {
    belts: BTreeMap<BeltKey, BeltDelta>,
}

impl CounterDeltas {
    /// The delta of a belt.
    pub(in crate::store) fn of(&mut self, belt: BeltKey) -> &mut BeltDelta {
        self.belts.entry(belt).or_default()
    }

    /// Writes the changes; answers with the belts' new counters and the executions that are
    /// complete by them.
    pub(in crate::store) async fn write(
        self,
        tx: &mut WriteTx,
        now: Wall,
    ) -> Result<(Vec<ProgressRow>, Vec<ExecutionSeq>), StoreError> {
        let belts: Vec<_> = self.belts.into_iter().collect();
        let mut progress = Vec::with_capacity(belts.len());
        for chunk in belts.chunks(CHUNK) {
            for row in write_chunk(tx, chunk).await? {
                progress.push(progress_row(&row)?);
            }
        }
        if progress.len() != belts.len() {
            return Err(StoreError::Corrupt("a belt without counters".to_owned()));
        }
        tx.effects.backlog += belts.iter().map(|(_, delta)| delta.open()).sum::<i64>();
        tx.effects
            .touched
            .extend(belts.iter().map(|((execution, ..), _)| *execution));
        for ((_, connection, _), delta) in &belts {
            for state in JobState::ALL
                .into_iter()
                .filter(|state| state.is_terminal())
            {
                if let Some(jobs) = u64::try_from(delta.states[state as usize])
                    .ok()
                    .filter(|jobs| *jobs > 0)
                {
                    *tx.effects.ended.entry((*connection, state)).or_default() += jobs;
                }
            }
        }
        let ripe: Vec<_> = progress
            .iter()
            .filter(|row| row.belt.states[..3].iter().sum::<u64>() == 0)
            .map(|row| row.execution)
            .collect();
        let completed = complete(tx, ripe, now).await?;
        Ok((progress, completed))
    }
}

async fn write_chunk(
    tx: &mut WriteTx,
    chunk: &[(BeltKey, BeltDelta)],
) -> Result<Vec<SqliteRow>, StoreError> {
    let mut update = statement::values(
        "WITH d (e, c, b, s0, s1, s2, s3, s4, s5, s6, s7, s8, d_aside, d_scheduled, d_retrying, d_sourcing, d_blocked) AS (",
        chunk,
        |row, ((execution, connection, belt), delta)| {
            row.push_bind(execution.0)
                .push_bind(connection.0)
                .push_bind(i64::from(*belt));
            for count in delta.states {
                row.push_bind(count);
            }
            row.push_bind(delta.set_aside)
                .push_bind(delta.scheduled)
                .push_bind(delta.retrying)
                .push_bind(delta.sourcing)
                .push_bind(delta.blocked);
        },
    );
    update.push(concat!(
        ") UPDATE progress SET version = version + 1, waiting = waiting + d.s0, in_flight = in_flight + d.s1, accepted = accepted + d.s2, ",
        "succeeded = succeeded + d.s3, rejected = rejected + d.s4, failed = failed + d.s5, unknown = unknown + d.s6, ",
        "superseded = superseded + d.s7, cancelled = cancelled + d.s8, set_aside = set_aside + d_aside, ",
        "scheduled = scheduled + d_scheduled, retrying = retrying + d_retrying, sourcing = sourcing + d_sourcing, ",
        "blocked = blocked + d_blocked, sent = (sent OR d.s1 > 0) FROM d ",
        "WHERE execution_seq = d.e AND connection_id = d.c AND belt = d.b RETURNING ",
        progress_columns!()
    ));
    statement::rows(update, &mut tx.conn).await
}

/// Marks those of the executions complete that are sealed and have no unfinished job.
pub(in crate::store) async fn complete(
    tx: &mut WriteTx,
    mut executions: Vec<ExecutionSeq>,
    now: Wall,
) -> Result<Vec<ExecutionSeq>, StoreError> {
    executions.sort_unstable();
    executions.dedup();
    let mut completed = Vec::new();
    for execution in executions {
        let done = sqlx::query(
            "UPDATE execution SET completed_at = $1, expires_at = $2 WHERE seq = $3 AND seal IS NOT NULL AND completed_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM progress WHERE execution_seq = seq AND waiting + in_flight + accepted > 0)",
        )
        .bind(now.0)
        .bind(now.plus_ms(tx.retention_ms).0)
        .bind(execution.0)
        .execute(&mut tx.conn)
        .await?;
        if done.rows_affected() == 1 {
            completed.push(execution);
        }
    }
    Ok(completed)
}

pub(in crate::store) fn progress_row(row: &SqliteRow) -> Result<ProgressRow, StoreError> {
    let count = |index: usize| -> Result<u64, StoreError> {
        Ok(u64::try_from(row.try_get::<i64, _>(index)?).unwrap_or(0))
    };
    let mut states = [0; 9];
    for (index, state) in states.iter_mut().enumerate() {
        *state = count(4 + index)?;
    }
    Ok(ProgressRow {
        execution: ExecutionSeq(row.try_get(0)?),
        connection: ConnectionId(row.try_get(1)?),
        belt: BeltProgress {
            belt: row.try_get(2)?,
            total: count(3)?,
            states,
            set_aside: count(13)?,
            priorities: row.try_get(16)?,
            opened: row.try_get(17)?,
            version: count(21)?,
        },
        scheduled: count(14)?,
        retrying: count(15)?,
        sourcing: count(18)?,
        blocked: count(19)?,
        sent: row.try_get(20)?,
    })
}
