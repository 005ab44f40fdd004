//! Waits that end by themselves: schedules, retries, sources, parents, expiry.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::SqliteConnection;

use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::ending::Ending;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::lifecycle::{ending, transition};
use crate::store::order::heads;
use crate::store::rows::{Changes, HeadRow};
use crate::store::{Store, StoreError};

/// When a child whose wait is over is told again, if nobody acted on it: the host may have died in
/// between.
pub(in crate::store) const ORPHAN_AGAIN_MS: i64 = 30_000;

impl Store {
    /// Ends waits whose time has come, at most `limit`, oldest first. A scheduled job draws its
    /// seal. Scheduled, retrying and source waits become ready and are returned if they are heads.
    /// Dependency waits whose time is over are returned as `orphaned` in the changes, and again
    /// after 30 s if nobody settles them.
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

    /// When the next wait ends by itself or the next job expires.
    pub async fn next_due(&self) -> Result<Option<Wall>, StoreError> {
        self.read(|conn| {
            Box::pin(async move {
                // Jobs that are still being received have no due time yet.
                let due: Option<i64> = sqlx::query_scalar(
                    "SELECT due_at FROM job WHERE state = 0 AND due_at IS NOT NULL \
                     AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) ORDER BY due_at LIMIT 1",
                )
                .fetch_optional(&mut *conn)
                .await?;
                let expiry: Option<i64> = sqlx::query_scalar(
                    "SELECT expires_at FROM job WHERE state = 0 AND expires_at IS NOT NULL \
                     AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) ORDER BY expires_at LIMIT 1",
                )
                .fetch_optional(conn)
                .await?;
                Ok(due.into_iter().chain(expiry).min().map(Wall))
            })
        })
        .await
    }

    /// Waiting jobs whose `expires_at` has passed end as failed (`expired`), at most `limit`. One
    /// whose answer was lost may have arrived: it ends as unknown and blocks its key.
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
    let due: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM job WHERE state = 0 AND due_at IS NOT NULL AND due_at <= $1 \
         AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) ORDER BY due_at, id LIMIT $2",
    )
    .bind(changes.now.0)
    .bind(limit)
    .fetch_all(&mut tx.conn)
    .await?;
    let due: Vec<_> = due.into_iter().map(JobSeq).collect();
    let (mut moved, mut ready) = (Vec::new(), Vec::new());
    for job in transition::load(&mut tx.conn, &due).await? {
        let next = match job.standing.waiting {
            Some(WaitingKind::Dependency) => {
                changes.report.orphaned.push(job.job);
                job.standing
                    .waits(job.standing.waiting, Some(changes.now.plus_ms(ORPHAN_AGAIN_MS)))
            }
            kept @ Some(WaitingKind::Blocked | WaitingKind::Merged) => {
                job.standing.waits(kept, None)
            }
            reason => {
                let mut next = job.standing.waits(None, None);
                if reason == Some(WaitingKind::Schedule) && !holds_later_belts(tx, &job).await? {
                    next.seal = tx.draw_number();
                }
                ready.push(job.job);
                next
            }
        };
        moved.push((job, next));
    }
    changes.apply(tx, moved).await?;
    let heads = heads::of_jobs(&mut tx.conn, &ready).await?;
    let changes = changes.finish(tx).await?;
    Ok((heads, changes))
}

/// Whether later belts of the job's execution wait for it. It then keeps the place that its
/// execution gave it: behind a new seal it would stand, in a coarse key, behind the very jobs that
/// wait for its belt.
async fn holds_later_belts(tx: &mut WriteTx, job: &transition::LockedJob) -> Result<bool, StoreError> {
    let later: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM progress WHERE execution_seq = $1 AND connection_id = $2 AND belt > $3 AND waiting + in_flight + accepted > 0)",
    )
    .bind(job.job.execution().0)
    .bind(job.connection.0)
    .bind(job.belt)
    .fetch_one(&mut tx.conn)
    .await?;
    Ok(later)
}

async fn expire(tx: &mut WriteTx, mut changes: JobChanges, limit: u32) -> Result<Changes, StoreError> {
    let over: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM job WHERE state = 0 AND expires_at IS NOT NULL AND expires_at <= $1 \
         AND EXISTS (SELECT 1 FROM execution x WHERE x.seq = job.id >> 24 AND x.seal IS NOT NULL) ORDER BY expires_at, id LIMIT $2",
    )
    .bind(changes.now.0)
    .bind(limit)
    .fetch_all(&mut tx.conn)
    .await?;
    let over: Vec<_> = over.into_iter().map(JobSeq).collect();
    let endings: Vec<_> = transition::load(&mut tx.conn, &over)
        .await?
        .into_iter()
        .map(expired)
        .collect();
    changes.report
        .gone
        .extend(endings.iter().map(|ending| ending.job.job));
    ending::end(tx, &mut changes, endings).await?;
    changes.finish(tx).await
}

fn expired(job: LockedJob) -> Ending {
    let code = FailureCode::Expired.as_str();
    let (state, message, block_key) = if job.answer_lost {
        let message = "its time passed after an answer was lost: it may have arrived";
        (JobState::Unknown, message, Some(message.to_owned()))
    } else {
        (
            JobState::Failed,
            "its time passed before it was delivered",
            None,
        )
    };
    Ending {
        job,
        state,
        code: Some(code.to_owned()),
        problem: Some(Problem::new(code, message)),
        changed: None,
        block_key,
    }
}

/// Keys of jobs; for those who need heads after a change.
pub(in crate::store) async fn keys_of(
    conn: &mut SqliteConnection,
    jobs: &[JobSeq],
) -> Result<Vec<(egression_core::domain::ids::ConnectionId, KeyHash)>, StoreError> {
    let mut keys: Vec<_> = transition::load(conn, jobs)
        .await?
        .into_iter()
        .map(|job| (job.connection, job.key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
