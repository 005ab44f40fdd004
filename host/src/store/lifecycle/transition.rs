//! The one way in which a job changes after it was accepted: read, decided upon, written with a
//! guard, counted.
//!
//! Every changes on jobs (intents, settlements, cancels, due times …) ends here, so that the counters
//! cannot be forgotten.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::{ObjectHash, ObjectKey};
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::store::StoreError;
use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters::CounterDeltas;
use crate::store::rows::Changes;

/// A job as it stands inside the writer's transaction.
#[derive(Clone, Debug)]
pub(in crate::store) struct LockedJob {
    pub(in crate::store) job: JobSeq,
    pub(in crate::store) connection: ConnectionId,
    pub(in crate::store) belt: u32,
    pub(in crate::store) key: KeyHash,
    pub(in crate::store) object_hash: ObjectHash,
    pub(in crate::store) object: ObjectKey,
    pub(in crate::store) partition_key: Option<String>,
    pub(in crate::store) standing: JobFields,
    /// The call of its intent, and whether that is open.
    pub(in crate::store) intent: Option<(i64, bool)>,
    /// An answer was lost; only with an intent.
    pub(in crate::store) answer_lost: bool,
    pub(in crate::store) key_blocked: bool,
    /// Cancelling its execution was asked for.
    pub(in crate::store) cancelling: bool,
}

/// What changes of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct JobFields {
    pub(in crate::store) state: JobState,
    pub(in crate::store) waiting: Option<WaitingKind>,
    pub(in crate::store) due_at: Option<Wall>,
    pub(in crate::store) waits_since: Option<Wall>,
    pub(in crate::store) attempts: u32,
    pub(in crate::store) conflicts: u32,
    /// 0: the execution's.
    pub(in crate::store) seal: i64,
    pub(in crate::store) finished_at: Option<Wall>,
    pub(in crate::store) changed: Option<bool>,
    pub(in crate::store) problem_code: Option<String>,
}

impl JobFields {
    /// Waiting for this, or ready.
    pub(in crate::store) fn waits(&self, reason: Option<WaitingKind>, until: Option<Wall>) -> Self {
        Self {
            state: JobState::Waiting,
            waiting: reason,
            due_at: until,
            ..self.clone()
        }
    }

    pub(in crate::store) fn ended(&self, state: JobState, code: Option<String>, at: Wall) -> Self {
        Self {
            state,
            waiting: None,
            due_at: None,
            finished_at: Some(at),
            problem_code: code,
            ..self.clone()
        }
    }
}

impl LockedJob {
    /// Whether it waits and nothing of its own keeps it, or only a time that may be cut short.
    pub(in crate::store) const fn may_be_sent(&self) -> bool {
        matches!(self.standing.state, JobState::Waiting)
            && matches!(
                self.standing.waiting,
                None | Some(WaitingKind::Retry | WaitingKind::Source)
            )
            && !self.key_blocked
    }

    /// Attempts and conflicts as they are after what just happened.
    pub(in crate::store) const fn spent(&mut self, attempts: u32, conflicts: u32) {
        self.standing.attempts = attempts;
        self.standing.conflicts = conflicts;
    }

    /// The text of its key.
    pub(in crate::store) fn key_text(&self) -> String {
        self.partition_key
            .clone()
            .unwrap_or_else(|| self.object.to_string())
    }
}

/// What an changes changed so far.
#[derive(Debug)]
pub(in crate::store) struct JobChanges {
    pub(in crate::store) now: Wall,
    pub(in crate::store) changes: Changes,
    deltas: CounterDeltas,
}

impl JobChanges {
    pub(in crate::store) fn at(now: Wall) -> Self {
        Self {
            now,
            changes: Changes::default(),
            deltas: CounterDeltas::default(),
        }
    }

    /// Moves jobs to where they stand next. A job that becomes ready in a blocked key is set aside
    /// at once.
    pub(in crate::store) async fn apply(
        &mut self,
        tx: &mut WriteTx,
        moves: Vec<(LockedJob, JobFields)>,
    ) -> Result<(), StoreError> {
        let moves: Vec<_> = moves
            .into_iter()
            .map(|(job, next)| {
                let ready = next.state == JobState::Waiting && next.waiting.is_none();
                let next = if ready && job.key_blocked {
                    next.waits(Some(WaitingKind::Blocked), None)
                } else {
                    next
                };
                (job, next)
            })
            .collect();
        for chunk in moves.chunks(CHUNK) {
            write(tx, chunk).await?;
        }
        for (job, next) in &moves {
            let delta = self
                .tally
                .of((job.job.execution(), job.connection, job.belt));
            delta.count(job.standing.state, job.standing.waiting, -1);
            delta.count(next.state, next.waiting, 1);
        }
        Ok(())
    }

    /// Writes the counters and completes executions.
    pub(in crate::store) async fn finish(self, tx: &mut WriteTx) -> Result<Changes, StoreError> {
        let mut changes = self.changes;
        (changes.progress, changes.completed) = self.deltas.write(tx, self.now).await?;
        Ok(changes)
    }
}

async fn write(tx: &mut WriteTx, moves: &[(LockedJob, JobFields)]) -> Result<(), StoreError> {
    // The guard is on state and reason; that the call is right was checked by who decided on this
    // move, in this transaction.
    let mut update = statement::values(
        "WITH n (id, was, was_waiting, state, waiting, due_at, waits_since, attempts, conflicts, seal, finished_at, changed, code) AS (",
        moves,
        |row, (job, next)| {
            row.push_bind(job.job.0)
                .push_bind(job.standing.state.code())
                .push_bind(job.standing.waiting.map(WaitingKind::code))
                .push_bind(next.state.code())
                .push_bind(next.waiting.map(WaitingKind::code))
                .push_bind(next.due_at.map(|at| at.0))
                .push_bind(next.waits_since.map(|at| at.0))
                .push_bind(next.attempts)
                .push_bind(next.conflicts)
                .push_bind(next.seal)
                .push_bind(next.finished_at.map(|at| at.0))
                .push_bind(next.changed)
                .push_bind(next.problem_code.as_deref());
        },
    );
    update.push(concat!(
        ") UPDATE job SET state = n.state, waiting = n.waiting, due_at = n.due_at, waits_since = n.waits_since, ",
        "attempts = n.attempts, conflicts = n.conflicts, seal = n.seal, finished_at = n.finished_at, changed = n.changed, ",
        "problem_code = n.code FROM n WHERE job.id = n.id AND job.state = n.was AND job.waiting IS NOT DISTINCT FROM n.was_waiting",
    ));
    let written = statement::run(update, &mut tx.conn).await?.rows_affected();
    if written == moves.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Corrupt(format!(
            "{} jobs to be changed, {written} found as they were",
            moves.len()
        )))
    }
}

/// The jobs of sealed executions among these, in the order asked for; each once.
pub(in crate::store) async fn load(
    conn: &mut SqliteConnection,
    jobs: &[JobSeq],
) -> Result<Vec<LockedJob>, StoreError> {
    let mut loaded = Vec::with_capacity(jobs.len());
    for chunk in jobs.chunks(CHUNK) {
        let select = statement::among(
            "SELECT j.id, j.connection_id, j.belt, j.key_hash, j.object_hash, j.object_type, j.object_id, j.partition_key, \
             j.state, j.waiting, j.due_at, j.waits_since, j.attempts, j.conflicts, j.seal, j.finished_at, j.changed, j.problem_code, \
             i.call_id, i.open, i.answer_lost, b.key_hash IS NOT NULL, x.cancel_requested_at IS NOT NULL \
             FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL \
             LEFT JOIN intent i ON i.job_id = j.id \
             LEFT JOIN blocked_key b ON b.connection_id = j.connection_id AND b.key_hash = j.key_hash \
             WHERE j.id IN",
            chunk.iter().copied(),
        );
        for row in statement::rows(select, conn).await? {
            loaded.push(job_now(&row)?);
        }
    }
    let mut found: std::collections::HashMap<_, _> =
        loaded.into_iter().map(|job| (job.job, job)).collect();
    Ok(jobs.iter().filter_map(|job| found.remove(job)).collect())
}

fn job_now(row: &SqliteRow) -> Result<LockedJob, StoreError> {
    let wall = |index: usize| -> Result<Option<Wall>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(index)?.map(Wall))
    };
    let call: Option<i64> = row.try_get(18)?;
    let open: Option<bool> = row.try_get(19)?;
    Ok(LockedJob {
        job: JobSeq(row.try_get(0)?),
        connection: ConnectionId(row.try_get(1)?),
        belt: row.try_get(2)?,
        key: KeyHash(row.try_get(3)?),
        object_hash: ObjectHash(row.try_get(4)?),
        object: ObjectKey {
            object_type: row.try_get(5)?,
            id: row.try_get(6)?,
        },
        partition_key: row.try_get(7)?,
        standing: JobFields {
            state: state(row.try_get(8)?)?,
            waiting: waiting(row.try_get(9)?)?,
            due_at: wall(10)?,
            waits_since: wall(11)?,
            attempts: row.try_get(12)?,
            conflicts: row.try_get(13)?,
            seal: row.try_get(14)?,
            finished_at: wall(15)?,
            changed: row.try_get(16)?,
            problem_code: row.try_get(17)?,
        },
        intent: call.zip(open),
        answer_lost: row.try_get::<Option<bool>, _>(20)?.unwrap_or(false),
        key_blocked: row.try_get(21)?,
        cancelling: row.try_get(22)?,
    })
}

/// The state of a stored number.
pub(in crate::store) fn state(code: i64) -> Result<JobState, StoreError> {
    JobState::from_code(code).ok_or_else(|| StoreError::Corrupt(format!("job state {code}")))
}

/// The waiting kind of a stored number.
pub(in crate::store) fn waiting(code: Option<i64>) -> Result<Option<WaitingKind>, StoreError> {
    code.map(|code| {
        WaitingKind::from_code(code)
            .ok_or_else(|| StoreError::Corrupt(format!("waiting kind {code}")))
    })
    .transpose()
}

/// The action of a stored number.
pub(in crate::store) fn action(
    code: i64,
) -> Result<egression_core::domain::action::Action, StoreError> {
    egression_core::domain::action::Action::from_code(code)
        .ok_or_else(|| StoreError::Corrupt(format!("action {code}")))
}
