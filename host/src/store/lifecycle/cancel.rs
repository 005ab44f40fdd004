//! What people do to executions: cancel, pause, resume. And what the plan does in their place:
//! abort belts.

use egression_core::domain::belt::{BeltGate, BeltOnFailure, gate};
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::SqliteConnection;

use crate::store::engine::statement;
use crate::store::engine::statement::Statement;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::counters::{progress_columns, progress_row};
use crate::store::lifecycle::ending::Ending;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::lifecycle::{ending, open_executions, transition};
use crate::store::rows::{Changes, ProgressRow};
use crate::store::{Store, StoreError};

/// Jobs that are cancelled in one transaction.
const AT_ONCE: usize = 1000;

/// Which waiting jobs are cancelled.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Execution(ExecutionSeq),
    Connection(ConnectionId),
    Belts {
        execution: ExecutionSeq,
        connection: ConnectionId,
        from: u32,
    },
}

/// What becomes of jobs that are sent again because it is not known whether they were applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeats {
    /// They go on until it is known.
    GoOn,
    /// They end: their connection goes.
    End,
}

impl Scope {
    const fn repeats(self) -> Repeats {
        match self {
            Self::Execution(_) | Self::Belts { .. } => Repeats::GoOn,
            Self::Connection(_) => Repeats::End,
        }
    }
}

impl Store {
    /// Cancels the execution's waiting jobs, in bounded transactions; jobs in flight, and those
    /// that are repeated because it is not known whether they were applied, keep their true
    /// outcome; a pause ends, for nothing is to keep these. If the host dies in the middle, the
    /// next one goes on with it.
    ///
    /// Answers with what was done, also where it broke off: the scheduler must hear of that
    /// whatever the caller is told.
    pub async fn cancel_execution(
        &self,
        execution: ExecutionSeq,
        now: Wall,
    ) -> (Changes, Result<(), StoreError>) {
        let asked = self.write(1, move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE execution SET cancel_requested_at = coalesce(cancel_requested_at, $1), paused = FALSE WHERE seq = $2 AND completed_at IS NULL",
                )
                .bind(now.0)
                .bind(execution.0)
                .execute(&mut tx.conn)
                .await?;
                tx.effects.touched.insert(execution);
                Ok(())
            })
        });
        match asked.await {
            Ok(()) => self.cancel(Scope::Execution(execution), now).await,
            Err(error) => (Changes::default(), Err(error)),
        }
    }

    /// Cancels one job if it waits; false if it does not.
    pub async fn cancel_job(&self, job: JobSeq, now: Wall) -> Result<(bool, Changes), StoreError> {
        let changes = self.cancel_these(vec![job], Repeats::GoOn, now).await?;
        let changes = self.notify_rest(changes).await;
        Ok((!changes.gone.is_empty(), changes))
    }

    /// Cancels every waiting job of a connection (its channel or subscription is being deleted).
    /// Answers as [`Store::cancel_execution`].
    pub async fn cancel_connection(
        &self,
        connection: ConnectionId,
        now: Wall,
    ) -> (Changes, Result<(), StoreError>) {
        self.cancel(Scope::Connection(connection), now).await
    }

    /// Cancels the waiting jobs of the belts from `belt` on (an earlier one was not clean,
    /// `belt_on_failure = "abort"`). Answers as [`Store::cancel_execution`].
    pub async fn abort_belts(
        &self,
        execution: ExecutionSeq,
        connection: ConnectionId,
        belt: u32,
        now: Wall,
    ) -> (Changes, Result<(), StoreError>) {
        self.cancel(
            Scope::Belts {
                execution,
                connection,
                from: belt,
            },
            now,
        )
        .await
    }

    /// Pauses an execution; false if it stood so already.
    pub async fn pause_execution(&self, execution: ExecutionSeq) -> Result<bool, StoreError> {
        self.write(1, move |tx| {
            Box::pin(async move { set_paused(tx, execution, true).await })
        })
        .await
    }

    /// Ends an execution's pause, and releases its held belts on the connections of `holding`,
    /// whose channels hold belts for a person. Answers whether it was paused, and with the belts
    /// that are open now.
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

    async fn cancel(&self, scope: Scope, now: Wall) -> (Changes, Result<(), StoreError>) {
        let mut changes = Changes::default();
        let mut after = JobSeq(-1);
        loop {
            match self.cancel_some(scope, after, now).await {
                Ok(Some((last, done))) => {
                    after = last;
                    changes.absorb(done);
                }
                Ok(None) => return (self.notify_rest(changes).await, Ok(())),
                Err(error) => return (changes, Err(error)),
            }
        }
    }

    /// The next waiting jobs; none: there are no more.
    async fn cancel_some(
        &self,
        scope: Scope,
        after: JobSeq,
        now: Wall,
    ) -> Result<Option<(JobSeq, Changes)>, StoreError> {
        let jobs = self
            .read(move |conn| Box::pin(async move { waiting_after(scope, after, conn).await }))
            .await?;
        let Some(last) = jobs.last().copied() else {
            return Ok(None);
        };
        Ok(Some((
            last,
            self.cancel_these(jobs, scope.repeats(), now).await?,
        )))
    }

    async fn cancel_these(
        &self,
        jobs: Vec<JobSeq>,
        repeats: Repeats,
        now: Wall,
    ) -> Result<Changes, StoreError> {
        self.write(jobs.len(), move |tx| {
            Box::pin(async move {
                let mut changes = JobChanges::at(now);
                cancel_waiting(tx, &mut changes, &jobs, repeats).await?;
                changes.finish(tx).await
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
    let changed = sqlx::query("UPDATE execution SET paused = $1 WHERE seq = $2 AND paused <> $1")
        .bind(paused)
        .bind(execution.0)
        .execute(&mut tx.conn)
        .await?
        .rows_affected();
    if changed > 0 {
        tx.effects.touched.insert(execution);
    }
    Ok(changed > 0)
}

/// Opens the belt that is held for a person on a connection, if one is. It stays open, over
/// restarts as well.
async fn release_belt(
    tx: &mut WriteTx,
    execution: ExecutionSeq,
    connection: ConnectionId,
) -> Result<Option<ProgressRow>, StoreError> {
    // Whether it is held is judged here: between the request and this transaction an earlier belt
    // may have come back to life.
    let rows = sqlx::query(concat!(
        "SELECT ",
        progress_columns!(),
        " FROM progress WHERE execution_seq = $1 AND connection_id = $2 ORDER BY belt"
    ))
    .bind(execution.0)
    .bind(connection.0)
    .fetch_all(&mut tx.conn)
    .await?;
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

async fn waiting_after(
    scope: Scope,
    after: JobSeq,
    conn: &mut SqliteConnection,
) -> Result<Vec<JobSeq>, StoreError> {
    let mut select = Statement::new("SELECT j.id FROM job j WHERE j.state = 0 AND j.id > ");
    select.push_bind(after.0);
    match scope {
        Scope::Execution(execution) => {
            select
                .push(" AND j.id >= ")
                .push_bind(execution.job(0).0)
                .push(" AND j.id < ")
                .push_bind(execution.end().0);
        }
        Scope::Belts {
            execution,
            connection,
            from,
        } => {
            select
                .push(" AND j.id >= ")
                .push_bind(execution.job(0).0)
                .push(" AND j.id < ")
                .push_bind(execution.end().0);
            select
                .push(" AND j.connection_id = ")
                .push_bind(connection.0)
                .push(" AND j.belt >= ")
                .push_bind(from);
        }
        Scope::Connection(connection) => {
            // Only unfinished executions are read, not the history.
            select
                .push(" AND j.connection_id = ")
                .push_bind(connection.0);
            select
                .push(" AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = j.id >> 24 AND x.completed_at IS NULL AND x.seal IS NOT NULL)");
        }
    }
    select
        .push(" ORDER BY j.id LIMIT ")
        .push_bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX));
    let rows = statement::rows(select, conn).await?;
    rows.iter()
        .map(|row| Ok(JobSeq(sqlx::Row::try_get(row, 0)?)))
        .collect()
}

async fn cancel_waiting(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    jobs: &[JobSeq],
    repeats: Repeats,
) -> Result<(), StoreError> {
    let endings: Vec<_> = transition::load(&mut tx.conn, jobs)
        .await?
        .into_iter()
        .filter(|job| {
            job.standing.state == JobState::Waiting
                && !(repeats == Repeats::GoOn && is_repeated(job))
        })
        .map(taken_back)
        .collect();
    changes.report
        .gone
        .extend(endings.iter().map(|ending| ending.job.job));
    ending::end(tx, changes, endings).await
}

/// What was sent may have been applied, and goes again by itself until that is known: like a job in
/// flight, it keeps its true outcome.
const fn is_repeated(job: &LockedJob) -> bool {
    job.intent.is_some()
        && matches!(
            job.standing.waiting,
            None | Some(WaitingKind::Retry | WaitingKind::Source)
        )
}

/// Nobody will repeat it any more, so a lost answer stays lost.
pub(in crate::store) fn taken_back(job: LockedJob) -> Ending {
    if job.answer_lost {
        let message = "it was cancelled after an answer was lost: it may have arrived";
        let problem = Problem::new("answer.lost", message);
        let code = Some(problem.code.clone());
        let block_key = Some(message.to_owned());
        return Ending {
            job,
            state: JobState::Unknown,
            code,
            problem: Some(problem),
            changed: None,
            block_key,
        };
    }
    Ending {
        job,
        state: JobState::Cancelled,
        code: None,
        problem: None,
        changed: None,
        block_key: None,
    }
}
