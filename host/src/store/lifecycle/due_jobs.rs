//! Waits that time ends: schedules, retries, sources, parents, expiry.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::Wait;
use egression_core::domain::transition::Event;
use egression_core::time::Wall;

use crate::store::dependencies::release::LOOK_AGAIN_MS;
use crate::store::engine::predicates::waits;
use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::ending::{self, Ending};
use crate::store::lifecycle::transition::{self, JobChanges, LockedJob};
use crate::store::order::heads;
use crate::store::rows::{Changes, HeadRow, columns};
use crate::store::{Store, StoreError};

/// Waiting jobs of sealed executions with a time in this column.
macro_rules! waiting_with {
    ($select:literal, $column:literal) => {
        concat!(
            "SELECT ",
            $select,
            " FROM job WHERE ",
            waits!(""),
            " AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT \
             NULL) AND ",
            $column,
            " IS NOT NULL "
        )
    };
}

impl Store {
    /// Ends waits whose time came, at most `limit`, oldest first. A scheduled job gets its seal.
    /// Schedules, retries and source waits become ready; those that are heads are returned.
    /// Dependency waits whose time came are reported as `orphaned`, and again after 30 s if nobody
    /// settles them.
    pub async fn fall_due(
        &self,
        now: Wall,
        limit: u32,
    ) -> Result<(Vec<HeadRow>, Changes), StoreError> {
        let due = self.write(limit as usize, move |tx| {
            Box::pin(async move { fall_due(tx, JobChanges::at(now), limit).await })
        });
        let (heads, changes) = due.await?;
        Ok((heads, self.follow(changes).await))
    }

    /// The time of the next end of a wait, or of the next expiry.
    pub async fn next_due(&self) -> Result<Option<Wall>, StoreError> {
        // Unsealed jobs have no due time yet.
        let next = sqlite::query(concat!(
            "SELECT min(at) AS at FROM (SELECT * FROM (",
            waiting_with!("due_at AS at", "due_at"),
            "ORDER BY due_at LIMIT 1) UNION ALL SELECT * FROM (",
            waiting_with!("expires_at AS at", "expires_at"),
            "ORDER BY expires_at LIMIT 1))"
        ));
        let next = self.one(next, |row| columns::time(row, "at")).await?;
        Ok(next.flatten())
    }

    /// Ends waiting jobs whose `expires_at` has passed as failed (`expired`), at most `limit`. A
    /// job whose answer was lost may have arrived: it ends as unknown and blocks its key.
    pub async fn expire(&self, now: Wall, limit: u32) -> Result<Changes, StoreError> {
        let changes = self
            .write(limit as usize, move |tx| {
                Box::pin(async move { expire(tx, JobChanges::at(now), limit).await })
            })
            .await?;
        Ok(self.follow(changes).await)
    }
}

async fn fall_due(
    tx: &mut WriteTx,
    mut changes: JobChanges,
    limit: u32,
) -> Result<(Vec<HeadRow>, Changes), StoreError> {
    let due = concat!(
        waiting_with!("id", "due_at"),
        "AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2"
    );
    let due = jobs_by(tx, due, changes.now, limit).await?;
    let again_at = changes.now.plus_ms(LOOK_AGAIN_MS);
    let (mut moves, mut ready) = (Vec::new(), Vec::new());
    for job in transition::load(&mut tx.conn, &due).await? {
        let mut next = job.fields.after(Event::FellDue { again_at })?;
        match job.fields.state.wait() {
            Some(Wait::Dependency { .. }) => changes.report.orphaned.push(job.job),
            Some(Wait::Schedule { .. }) if !holds_later_belts(tx, &job).await? => {
                next.seal = tx.next_number();
            }
            _ => {}
        }
        if next.state.wait() == Some(Wait::Ready) {
            ready.push(job.job);
        }
        moves.push((job, next));
    }
    changes.apply(tx, moves).await?;
    let heads = heads::of_jobs(&mut tx.conn, &ready).await?;
    let changes = changes.finish(tx).await?;
    Ok((heads, changes))
}

async fn jobs_by(
    tx: &mut WriteTx,
    select: &'static str,
    now: Wall,
    limit: u32,
) -> Result<Vec<JobSeq>, StoreError> {
    let jobs: Vec<i64> = sqlite::query(select)
        .bind(now.0)
        .bind(limit)
        .scalars(&mut tx.conn)?;
    Ok(jobs.into_iter().map(JobSeq).collect())
}

/// Whether later belts of the job's execution wait for it. If so, the job keeps the place that its
/// execution gave it. With a new seal, in a coarse key, it would come after the jobs that wait for
/// its belt.
async fn holds_later_belts(tx: &mut WriteTx, job: &LockedJob) -> Result<bool, StoreError> {
    let later: bool = sqlite::query(
        "SELECT EXISTS (SELECT 1 FROM progress WHERE execution_seq = ?1 AND connection_id = ?2 \
         AND belt > ?3 AND waiting + in_flight + accepted > 0)",
    )
    .bind(job.job.execution().0)
    .bind(job.connection.0)
    .bind(job.belt)
    .scalar(&mut tx.conn)?;
    Ok(later)
}

async fn expire(
    tx: &mut WriteTx,
    mut changes: JobChanges,
    limit: u32,
) -> Result<Changes, StoreError> {
    let over = concat!(
        waiting_with!("id", "expires_at"),
        "AND expires_at <= ?1 ORDER BY expires_at, id LIMIT ?2"
    );
    let over = jobs_by(tx, over, changes.now, limit).await?;
    let endings: Vec<_> = transition::load(&mut tx.conn, &over)
        .await?
        .into_iter()
        .map(|job| Ending::by(job, Event::Expired))
        .collect::<Result<_, _>>()?;
    changes
        .report
        .gone
        .extend(endings.iter().map(|ending| ending.job.job));
    ending::end(tx, &mut changes, endings).await?;
    changes.finish(tx).await
}
