//! The counters of belts, updated in the transaction of each change of a job. Nothing is counted at
//! read time.

use std::collections::BTreeMap;

use egression_core::domain::belt::BeltProgress;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::domain::state::{JobState, State, Wait};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::store::StoreError;
use crate::store::engine::sqlite::{self, Row};
use crate::store::engine::statement;
use crate::store::engine::writer::WriteTx;
use crate::store::rows::{ProgressRow, columns};

/// The columns of [`progress_row`].
macro_rules! progress_columns {
    () => {
        "execution_seq, connection_id, belt, total, waiting, in_flight, accepted, succeeded, \
         rejected, failed, unknown, superseded, cancelled, set_aside, scheduled, retrying, \
         priorities, opened, sourcing, blocked, sent, version"
    };
}
pub(in crate::store) use progress_columns;

/// A belt of an execution on a connection.
pub type BeltKey = (ExecutionSeq, ConnectionId, u32);

/// The change of a belt's counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct BeltDelta {
    pub states: [i64; 9],
    pub set_aside: i64,
    pub scheduled: i64,
    pub retrying: i64,
    pub sourcing: i64,
    pub blocked: i64,
}

impl BeltDelta {
    /// A job enters this state (`1`) or leaves it (`-1`).
    pub fn count(&mut self, state: &State, by: i64) {
        self.states[state.kind() as usize] += by;
        let Some(kind) = state.wait().and_then(Wait::kind) else {
            return;
        };
        if kind.is_set_aside() {
            self.set_aside += by;
        }
        match kind {
            WaitingKind::Schedule => self.scheduled += by,
            WaitingKind::Retry => self.retrying += by,
            WaitingKind::Source => self.sourcing += by,
            WaitingKind::Blocked => self.blocked += by,
            _ => {}
        }
    }

    /// The change of the number of unfinished jobs.
    pub const fn open(&self) -> i64 {
        self.states[0] + self.states[1] + self.states[2]
    }
}

/// The counter changes of one transaction.
#[derive(Debug, Default)]
pub struct CounterDeltas {
    belts: BTreeMap<BeltKey, BeltDelta>,
}

impl CounterDeltas {
    pub fn of(&mut self, belt: BeltKey) -> &mut BeltDelta {
        self.belts.entry(belt).or_default()
    }

    /// Writes the changes. Returns the belts' new counters and the executions that are complete
    /// now.
    pub async fn write(
        self,
        tx: &mut WriteTx,
        now: Wall,
    ) -> Result<(Vec<ProgressRow>, Vec<ExecutionSeq>), StoreError> {
        let belts: Vec<_> = self.belts.into_iter().collect();
        let written = write_belts(tx, &belts).await?;
        let progress: Vec<_> = written.iter().map(progress_row).collect::<Result<_, _>>()?;
        if progress.len() != belts.len() {
            return Err(StoreError::Corrupt("a belt without counters".to_owned()));
        }
        tx.effects.backlog += belts.iter().map(|(_, delta)| delta.open()).sum::<i64>();
        tx.effects
            .touched
            .extend(belts.iter().map(|((execution, ..), _)| *execution));
        for ((_, connection, _), delta) in &belts {
            for state in JobState::ALL.iter().filter(|state| state.is_terminal()) {
                let jobs = u64::try_from(delta.states[*state as usize]).unwrap_or(0);
                if jobs > 0 {
                    *tx.effects.ended.entry((*connection, *state)).or_default() += jobs;
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

async fn write_belts(
    tx: &mut WriteTx,
    belts: &[(BeltKey, BeltDelta)],
) -> Result<Vec<Row>, StoreError> {
    statement::rows_of_values(
        &mut tx.conn,
        "WITH d (e, c, b, s0, s1, s2, s3, s4, s5, s6, s7, s8, d_aside, d_scheduled, d_retrying, \
         d_sourcing, d_blocked) AS MATERIALIZED (",
        belts,
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
        concat!(
            ") UPDATE progress SET version = version + 1, waiting = waiting + d.s0, in_flight = \
             in_flight + d.s1, accepted = accepted + d.s2, succeeded = succeeded + d.s3, rejected \
             = rejected + d.s4, failed = failed + d.s5, unknown = unknown + d.s6, superseded = \
             superseded + d.s7, cancelled = cancelled + d.s8, set_aside = set_aside + d_aside, \
             scheduled = scheduled + d_scheduled, retrying = retrying + d_retrying, sourcing = \
             sourcing + d_sourcing, blocked = blocked + d_blocked, sent = (sent OR d.s1 > 0) FROM \
             d WHERE execution_seq = d.e AND connection_id = d.c AND belt = d.b RETURNING ",
            progress_columns!()
        ),
    )
    .await
}

/// Completes those of the executions that are sealed and have no unfinished job.
pub async fn complete(
    tx: &mut WriteTx,
    mut executions: Vec<ExecutionSeq>,
    now: Wall,
) -> Result<Vec<ExecutionSeq>, StoreError> {
    executions.sort_unstable();
    executions.dedup();
    let mut completed = Vec::new();
    for execution in executions {
        let done = sqlite::query(
            "UPDATE execution SET completed_at = ?1, expires_at = ?2 WHERE seq = ?3 AND seal IS \
             NOT NULL AND completed_at IS NULL AND NOT EXISTS (SELECT 1 FROM progress WHERE \
             execution_seq = seq AND waiting + in_flight + accepted > 0)",
        )
        .bind(now.0)
        .bind(now.plus_ms(tx.retention_ms).0)
        .bind(execution.0)
        .execute(&mut tx.conn)?;
        if done == 1 {
            completed.push(execution);
        }
    }
    Ok(completed)
}

pub fn progress_row(row: &Row) -> Result<ProgressRow, StoreError> {
    let count = |column| columns::count(row, column);
    let mut states = [0; 9];
    for (jobs, state) in states.iter_mut().zip(JobState::ALL) {
        *jobs = count(state.as_str())?;
    }
    Ok(ProgressRow {
        execution: ExecutionSeq(row.try_get("execution_seq")?),
        connection: ConnectionId(row.try_get("connection_id")?),
        belt: BeltProgress {
            belt: row.try_get("belt")?,
            total: count("total")?,
            states,
            set_aside: count("set_aside")?,
            priorities: row.try_get("priorities")?,
            opened: row.try_get("opened")?,
            version: count("version")?,
        },
        scheduled: count("scheduled")?,
        retrying: count("retrying")?,
        sourcing: count("sourcing")?,
        blocked: count("blocked")?,
        sent: row.try_get("sent")?,
    })
}

pub fn by_execution(rows: &[Row]) -> Result<BTreeMap<ExecutionSeq, Vec<ProgressRow>>, StoreError> {
    let mut grouped: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        let row = progress_row(row)?;
        grouped.entry(row.execution).or_default().push(row);
    }
    Ok(grouped)
}
