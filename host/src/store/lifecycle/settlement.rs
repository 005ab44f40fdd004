//! Settlements: the result of an attempt, in one transaction with id map, counters, events and
//! dependents.

use std::collections::HashMap;

use egression_core::domain::action::Action;
use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::{EarlierSend, State, Wait};
use egression_core::domain::transition::{Event, Repeats};

use futures_util::future::BoxFuture;

use crate::store::dependencies::edges;
use crate::store::engine::joined::Joined;
use crate::store::engine::sqlite;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::ending::{self, Ending};
use crate::store::lifecycle::id_map::{self, Delivered};
use crate::store::lifecycle::job_history;
use crate::store::lifecycle::transition::{self, JobChanges, LockedJob};
use crate::store::lifecycle::waits::{self, Waiter};
use crate::store::rows::{Changes, IdMapChange, NewEvent, Settlement, Transition};
use crate::store::{Store, StoreError};

impl Store {
    /// Settles jobs with id map, counters, events, error groups, blocked keys and dependents, in
    /// one transaction. State and call guard it: a settlement that does not apply is listed as
    /// stale and changes nothing.
    ///
    /// A job of a cancelled execution that would wait again ends as cancelled and is listed as
    /// gone, unless its bytes are pinned. `Waits` for
    /// [`Blocked`](egression_core::domain::waiting::WaitingKind::Blocked) blocks the job's key.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<Changes, StoreError> {
        let changes = self.join(&self.inner.settling, settlements).await?;
        Ok(self.follow(changes).await)
    }

    /// As [`Store::settle`], for jobs that wait for an object: any other job is stale.
    pub async fn settle_children(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Changes, StoreError> {
        let settled = self.write(settlements.len() * 4, move |tx| {
            let only = |job: &LockedJob| job.fields.waits_for_parents();
            let changes = JobChanges::at(tx.now());
            Box::pin(async move { settle(tx, changes, settlements, only).await })
        });
        let changes = settled.await?;
        Ok(self.follow(changes).await)
    }

    /// Does the work that a transaction which ended jobs leaves to bounded transactions.
    pub(in crate::store) async fn follow(&self, changes: Changes) -> Changes {
        let changes = self.set_rest_aside(changes).await;
        self.notify_rest(changes).await
    }
}

/// The settlements of all calls that end together.
pub struct Settling;

impl Joined for Settling {
    type Value = Settlement;
    type Answer = Changes;

    fn job(settlement: &Settlement) -> JobSeq {
        settlement.job
    }

    fn write(
        tx: &mut WriteTx,
        settlements: Vec<Settlement>,
    ) -> BoxFuture<'_, Result<Changes, StoreError>> {
        let changes = JobChanges::at(tx.now());
        Box::pin(async move { settle(tx, changes, settlements, |_| true).await })
    }

    fn divide(changes: Changes, callers: &[Vec<JobSeq>]) -> Vec<Changes> {
        changes.divide(callers)
    }
}

/// Settlements that apply, sorted by their result.
#[derive(Debug, Default)]
struct Batch {
    endings: Vec<Ending>,
    waiters: Vec<Waiter>,
    delivered: Vec<Delivered>,
    events: Vec<(JobSeq, NewEvent)>,
    /// Jobs whose earlier wait for objects ends with their settlement.
    children: Vec<JobSeq>,
    /// Jobs that continue as another action.
    other_actions: Vec<(JobSeq, Action)>,
}

/// Settles inside the writer's transaction; [`Store::follow`] does the rest.
pub async fn settle(
    tx: &mut WriteTx,
    mut changes: JobChanges,
    settlements: Vec<Settlement>,
    only: fn(&LockedJob) -> bool,
) -> Result<Changes, StoreError> {
    let wanted: Vec<_> = settlements
        .iter()
        .map(|settlement| settlement.job)
        .collect();
    let mut jobs: HashMap<JobSeq, LockedJob> = transition::load(&mut tx.conn, &wanted)
        .await?
        .into_iter()
        .map(|job| (job.job, job))
        .collect();
    let mut batch = Batch::default();
    for settlement in settlements {
        // Taking the job out makes a second settlement of it in the same batch stale.
        match jobs
            .remove(&settlement.job)
            .filter(|job| job.fields.state.is_settled_by(settlement.call) && only(job))
        {
            Some(job) => batch.add(&mut changes, job, settlement)?,
            None => changes.report.stale.push(settlement.job),
        }
    }
    // The end of a parent in the same batch must not release a child that is settled with it.
    edges::forget(tx, &batch.children).await?;
    id_map::record(tx, batch.delivered, changes.now).await?;
    for (job, action) in batch.other_actions {
        act_as(tx, job, action).await?;
    }
    // Ends come first: a wait for a job that ends in the same batch must see how it ended.
    ending::end(tx, &mut changes, batch.endings).await?;
    waits::begin(tx, &mut changes, batch.waiters).await?;
    job_history::append(tx, &batch.events).await?;
    changes.finish(tx).await
}

impl Batch {
    fn add(
        &mut self,
        changes: &mut JobChanges,
        mut job: LockedJob,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        if job.fields.waits_for_parents() {
            self.children.push(job.job);
        }
        let succeeded = matches!(
            settlement.to,
            Transition::Ended {
                end: State::Succeeded { .. },
                ..
            }
        );
        let delivered = (succeeded && settlement.id_map != IdMapChange::Drop)
            .then_some(settlement.delivered_revision);
        if settlement.id_map != IdMapChange::Keep || delivered.is_some() {
            self.delivered.push(Delivered {
                connection: job.connection,
                object: job.object.clone(),
                id_map: settlement.id_map,
                delivered,
            });
        }
        if let Some(action) = settlement.act_as {
            self.other_actions.push((job.job, action));
        }
        self.events
            .extend(settlement.events.into_iter().map(|event| (job.job, event)));
        job.fields.attempts = settlement.attempts;
        job.fields.conflicts = settlement.conflicts;
        match settlement.to {
            Transition::Ended { end, block_key } => {
                let ending = Ending::by(job, Event::Ended(end))?;
                self.endings.push(Ending {
                    block_key,
                    ..ending
                });
            }
            Transition::Waits {
                reason,
                until,
                parents,
                problem,
                keep_pinned,
                answer_lost,
            } => {
                let wait = Wait::new(reason, until, changes.now).ok_or_else(|| {
                    StoreError::Corrupt(format!("job {}: a reason that is not stored", job.job))
                })?;
                let left = match (keep_pinned, answer_lost) {
                    (false, _) => EarlierSend::None,
                    (true, false) => EarlierSend::Pinned,
                    (true, true) => EarlierSend::AnswerLost,
                };
                let waiter = Waiter {
                    job,
                    wait,
                    left,
                    parents,
                    problem,
                };
                // Nothing was applied, or it would wait for a person who no longer wants it.
                if waiter.job.cancelling && (wait == Wait::Blocked || !keep_pinned) {
                    changes.report.gone.push(waiter.job.job);
                    self.endings.push(cancelled(waiter)?);
                } else {
                    self.waiters.push(waiter);
                }
            }
        }
        Ok(())
    }
}

/// The end of a job that would wait again although its execution is being cancelled.
fn cancelled(waiter: Waiter) -> Result<Ending, StoreError> {
    let Waiter {
        job,
        wait,
        left,
        problem,
        ..
    } = waiter;
    let waiting = job.fields.after(Event::Waits { wait, left })?;
    let next = waiting.after(Event::Cancelled {
        repeats: Repeats::End,
        problem: problem.filter(|_| wait != Wait::Blocked),
    })?;
    Ok(Ending::new(job, next))
}

async fn act_as(tx: &mut WriteTx, job: JobSeq, action: Action) -> Result<(), StoreError> {
    sqlite::query("UPDATE job SET action = ?1 WHERE id = ?2")
        .bind(action.code())
        .bind(job.0)
        .execute(&mut tx.conn)?;
    Ok(())
}
