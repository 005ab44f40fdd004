//! The one way in which an accepted job changes: loaded in the writer's transaction, moved by the
//! core's state machine, written with a guard, and counted.
//!
//! Intents, settlements, cancels and due times all end here, so none of them can forget a counter.

use std::collections::HashMap;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::{State, Wait};
use egression_core::domain::transition::Event;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::store::StoreError;
use crate::store::engine::predicates::waits_or_flies;
use crate::store::engine::sqlite::{Connection, Row};
use crate::store::engine::statement::{self, CHUNK};
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters::CounterDeltas;
use crate::store::rows::state_columns::{self, StateColumns};
use crate::store::rows::{Changes, columns};

/// A job that waits or is in flight, inside the writer's transaction.
#[derive(Clone, Debug)]
pub struct LockedJob {
    pub job: JobSeq,
    pub connection: ConnectionId,
    pub belt: u32,
    pub key: KeyHash,
    pub object: ObjectKey,
    pub partition_key: Option<String>,
    pub fields: JobFields,
    pub key_blocked: bool,
    /// A cancel of its execution was requested.
    pub cancelling: bool,
}

/// What may change of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFields {
    pub state: State,
    pub attempts: u32,
    pub conflicts: u32,
    /// The seal that a scheduled job got when it became due; 0: its execution's.
    pub seal: i64,
    /// The code of its end, or of what went wrong last.
    pub problem_code: Option<String>,
}

impl JobFields {
    /// The job after an event. Errors: [`StoreError::Corrupt`] if the state machine refuses the
    /// event.
    pub fn after(&self, event: Event) -> Result<Self, StoreError> {
        let state = self
            .state
            .clone()
            .apply(event)
            .map_err(|refused| StoreError::Corrupt(refused.to_string()))?;
        let problem_code = if state.kind().is_terminal() {
            state.code().map(str::to_owned)
        } else {
            self.problem_code.clone()
        };
        Ok(Self {
            state,
            problem_code,
            ..*self
        })
    }

    pub fn waits_for_parents(&self) -> bool {
        matches!(self.state.wait(), Some(Wait::Dependency { .. }))
    }
}

impl LockedJob {
    /// The key as text: the object's own unless the job names another one.
    pub fn key_text(&self) -> String {
        self.partition_key
            .clone()
            .unwrap_or_else(|| self.object.to_string())
    }
}

/// The changes of one transaction so far.
#[derive(Debug)]
pub struct JobChanges {
    pub now: Wall,
    pub report: Changes,
    deltas: CounterDeltas,
}

impl JobChanges {
    pub fn at(now: Wall) -> Self {
        Self {
            now,
            report: Changes::default(),
            deltas: CounterDeltas::default(),
        }
    }

    /// Moves those of the jobs for which `moves` holds, all by one event. Returns them.
    pub async fn move_by(
        &mut self,
        tx: &mut WriteTx,
        jobs: &[JobSeq],
        event: &Event,
        moves: impl Fn(&LockedJob) -> bool + Send,
    ) -> Result<Vec<JobSeq>, StoreError> {
        let mut moved = load(&mut tx.conn, jobs).await?;
        moved.retain(moves);
        let jobs = moved.iter().map(|job| job.job).collect();
        let mut next = Vec::with_capacity(moved.len());
        for job in moved {
            let fields = job.fields.after(event.clone())?;
            next.push((job, fields));
        }
        self.apply(tx, next).await?;
        Ok(jobs)
    }

    /// Writes and counts jobs in their next state. A job that becomes ready in a blocked key is set
    /// aside at once.
    pub async fn apply(
        &mut self,
        tx: &mut WriteTx,
        mut moves: Vec<(LockedJob, JobFields)>,
    ) -> Result<(), StoreError> {
        for (job, next) in &mut moves {
            if job.key_blocked && next.state.wait() == Some(Wait::Ready) {
                *next = next.after(Event::KeyBlocked)?;
            }
        }
        for chunk in moves.chunks(CHUNK) {
            write(tx, chunk, self.now).await?;
        }
        for (job, next) in &moves {
            let delta = self
                .deltas
                .of((job.job.execution(), job.connection, job.belt));
            delta.count(&job.fields.state, -1);
            delta.count(&next.state, 1);
        }
        Ok(())
    }

    /// Writes the counters and completes executions.
    pub async fn finish(self, tx: &mut WriteTx) -> Result<Changes, StoreError> {
        let mut report = self.report;
        (report.progress, report.completed) = self.deltas.write(tx, self.now).await?;
        Ok(report)
    }
}

async fn write(
    tx: &mut WriteTx,
    moves: &[(LockedJob, JobFields)],
    now: Wall,
) -> Result<(), StoreError> {
    // The guard is on state and reason. The caller checked the call, in this transaction.
    let mut update = statement::values(
        "WITH n (id, was, was_waiting, state, waiting, due_at, waits_since, attempts, conflicts, \
         seal, finished_at, changed, code) AS MATERIALIZED (",
        moves,
        |row, (job, next)| {
            let columns = StateColumns::of(&next.state, now);
            row.push_bind(job.job.0)
                .push_bind(job.fields.state.kind().code())
                .push_bind(
                    job.fields
                        .state
                        .wait()
                        .and_then(Wait::kind)
                        .map(WaitingKind::code),
                )
                .push_bind(columns.state)
                .push_bind(columns.waiting)
                .push_bind(columns.due_at)
                .push_bind(columns.waits_since)
                .push_bind(next.attempts)
                .push_bind(next.conflicts)
                .push_bind(next.seal)
                .push_bind(columns.finished_at)
                .push_bind(columns.changed)
                .push_bind(next.problem_code.as_deref());
        },
    );
    update.push(
        ") UPDATE job SET state = n.state, waiting = n.waiting, due_at = n.due_at, \
         waits_since = n.waits_since, attempts = n.attempts, conflicts = n.conflicts, \
         seal = n.seal, finished_at = n.finished_at, changed = n.changed, problem_code = n.code \
         FROM n WHERE job.id = n.id AND job.state = n.was \
         AND job.waiting IS NOT DISTINCT FROM n.was_waiting",
    );
    let written = statement::run(update, &mut tx.conn).await?;
    if written == moves.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Corrupt(format!(
            "{written} of {} jobs were in the expected state",
            moves.len()
        )))
    }
}

/// Those of the jobs that wait or are in flight, in the order of the request, each once. Their
/// executions are sealed.
pub async fn load(conn: &mut Connection, jobs: &[JobSeq]) -> Result<Vec<LockedJob>, StoreError> {
    let mut found = HashMap::with_capacity(jobs.len());
    let select = concat!(
        "SELECT j.id, j.connection_id, j.belt, j.key_hash, j.object_type, j.object_id, \
         j.partition_key, j.state, j.waiting, j.due_at, j.waits_since, j.attempts, j.conflicts, \
         j.seal, j.problem_code, i.call_id, i.attempt, i.answer_lost, b.key_hash IS NOT NULL AS \
         key_blocked, x.cancel_requested_at IS NOT NULL AS cancelling FROM job j JOIN execution x \
         ON x.seq = j.id >> 24 AND x.seal IS NOT NULL LEFT JOIN intent i ON i.job_id = j.id LEFT \
         JOIN blocked_key b ON b.connection_id = j.connection_id AND b.key_hash = j.key_hash \
         WHERE ",
        waits_or_flies!("j."),
        " AND j.id IN"
    );
    for row in statement::rows_among(conn, select, jobs).await? {
        let job = locked_job(&row)?;
        found.insert(job.job, job);
    }
    Ok(jobs.iter().filter_map(|job| found.remove(job)).collect())
}

fn locked_job(row: &Row) -> Result<LockedJob, StoreError> {
    Ok(LockedJob {
        job: JobSeq(row.try_get("id")?),
        connection: ConnectionId(row.try_get("connection_id")?),
        belt: row.try_get("belt")?,
        key: KeyHash(row.try_get("key_hash")?),
        object: columns::object(row)?,
        partition_key: row.try_get("partition_key")?,
        fields: JobFields {
            state: state_columns::unfinished(row)?,
            attempts: row.try_get("attempts")?,
            conflicts: row.try_get("conflicts")?,
            seal: row.try_get("seal")?,
            problem_code: row.try_get("problem_code")?,
        },
        key_blocked: row.try_get("key_blocked")?,
        cancelling: row.try_get("cancelling")?,
    })
}
