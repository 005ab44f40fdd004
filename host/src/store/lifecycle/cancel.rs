//! Cancels: of an execution, a job or a connection by a person, of later belts by the plan.

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use egression_core::domain::transition::{Event, Repeats};
use egression_core::time::Wall;

use crate::store::engine::predicates::waits;
use crate::store::engine::sqlite::{self, Connection};
use crate::store::engine::statement::{self, Statement};
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::ending::{self, Ending};
use crate::store::lifecycle::transition::{self, JobChanges};
use crate::store::rows::Changes;
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

impl Scope {
    const fn repeats(self) -> Repeats {
        match self {
            Self::Execution(_) | Self::Belts { .. } => Repeats::GoOn,
            Self::Connection(_) => Repeats::End,
        }
    }
}

impl Store {
    /// Cancels the execution's waiting jobs, in bounded transactions. Jobs in flight, and jobs that
    /// are repeated because nobody knows whether they were applied, keep their true outcome; to let
    /// them go, a pause ends. After a crash, the next start continues.
    ///
    /// Returns the changes also if it fails: the scheduler must hear of the jobs that were
    /// cancelled.
    pub async fn cancel_execution(
        &self,
        execution: ExecutionSeq,
        now: Wall,
    ) -> (Changes, Result<(), StoreError>) {
        let asked = self.write(1, move |tx| {
            Box::pin(async move {
                sqlite::query(
                    "UPDATE execution SET cancel_requested_at = coalesce(cancel_requested_at, \
                     ?1), paused = FALSE WHERE seq = ?2 AND completed_at IS NULL",
                )
                .bind(now.0)
                .bind(execution.0)
                .execute(&mut tx.conn)?;
                tx.effects.touched.insert(execution);
                Ok(())
            })
        });
        match asked.await {
            Ok(()) => self.cancel(Scope::Execution(execution), now).await,
            Err(error) => (Changes::default(), Err(error)),
        }
    }

    /// Cancels one job; false if it does not wait.
    pub async fn cancel_job(&self, job: JobSeq, now: Wall) -> Result<(bool, Changes), StoreError> {
        let changes = self.cancel_these(vec![job], Repeats::GoOn, now).await?;
        let changes = self.notify_rest(changes).await;
        Ok((!changes.gone.is_empty(), changes))
    }

    /// Cancels every waiting job of a connection that is being deleted. Returns as
    /// [`Store::cancel_execution`].
    pub async fn cancel_connection(
        &self,
        connection: ConnectionId,
        now: Wall,
    ) -> (Changes, Result<(), StoreError>) {
        self.cancel(Scope::Connection(connection), now).await
    }

    /// Cancels the waiting jobs of the belts from `belt` on, because an earlier belt was not clean
    /// (`belt_on_failure = "abort"`). Returns as [`Store::cancel_execution`].
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

    /// Cancels the next waiting jobs; none: there are no more.
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

async fn waiting_after(
    scope: Scope,
    after: JobSeq,
    conn: &mut Connection,
) -> Result<Vec<JobSeq>, StoreError> {
    let mut select = Statement::new(concat!(
        "SELECT j.id FROM job j WHERE ",
        waits!("j."),
        " AND j.id > "
    ));
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
            // Reads unfinished executions only, not the history.
            select
                .push(" AND j.connection_id = ")
                .push_bind(connection.0);
            select.push(
                " AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = j.id >> 24 AND \
                    x.completed_at IS NULL AND x.seal IS NOT NULL)",
            );
        }
    }
    select
        .push(" ORDER BY j.id LIMIT ")
        .push_bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX));
    let rows = statement::rows(select, conn).await?;
    rows.iter().map(|row| Ok(JobSeq(row.at(0)?))).collect()
}

/// Cancels the jobs among these that a cancel ends.
async fn cancel_waiting(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    jobs: &[JobSeq],
    repeats: Repeats,
) -> Result<(), StoreError> {
    let endings: Vec<_> = transition::load(&mut tx.conn, jobs)
        .await?
        .into_iter()
        .filter_map(|job| {
            // A refusal means that the job keeps its true outcome: it is in flight or repeated.
            let event = Event::Cancelled {
                repeats,
                problem: None,
            };
            Ending::by(job, event).ok()
        })
        .collect();
    changes
        .report
        .gone
        .extend(endings.iter().map(|ending| ending.job.job));
    ending::end(tx, changes, endings).await
}
