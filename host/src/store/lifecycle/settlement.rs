//! Settlements: what an attempt came to, in one transaction with id map, counters, events and
//! dependents.

use std::collections::HashMap;

use egression_core::domain::action::Action;
use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;

use crate::store::dependencies::edges;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::ending::Ending;
use crate::store::lifecycle::id_map::Delivered;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::lifecycle::waits::Wait;
use crate::store::lifecycle::{cancel, ending, events, id_map, transition, waits};
use crate::store::rows::{Changes, IdMapChange, NewEvent, Settlement, Transition};
use crate::store::{Store, StoreError};

impl Store {
    /// Settles jobs with id map, counters, events, error groups, blocked keys and dependents, in
    /// one transaction. Guarded by state and call: a settlement that does not apply is listed as
    /// stale and changes nothing.
    ///
    /// A job that would wait again although its execution is being cancelled ends as cancelled,
    /// unless its bytes are pinned; it is listed as gone. `Waits` for
    /// [`Blocked`](egression_core::domain::waiting::WaitingKind::Blocked) blocks the job's key.
    pub async fn settle(&self, settlements: Vec<Settlement>) -> Result<Changes, StoreError> {
        self.settle_those(settlements, |_| true).await
    }

    /// The same for jobs that wait for an object: one that does so no longer is stale.
    pub async fn settle_children(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Changes, StoreError> {
        self.settle_those(settlements, |job| {
            job.standing.waiting == Some(WaitingKind::Dependency)
        })
        .await
    }

    async fn settle_those(
        &self,
        settlements: Vec<Settlement>,
        only: fn(&LockedJob) -> bool,
    ) -> Result<Changes, StoreError> {
        let now = self.inner.clock.wall();
        let settled = self.write(settlements.len() * 4, move |tx| {
            Box::pin(async move { settle(tx, JobChanges::at(now), settlements, only).await })
        });
        let changes = settled.await?;
        Ok(self.follow(changes).await)
    }
}

impl Store {
    /// Does what a transaction that ended jobs left to bounded ones of their own.
    pub(in crate::store) async fn follow(&self, changes: Changes) -> Changes {
        let changes = self.set_rest_aside(changes).await;
        self.notify_rest(changes).await
    }
}

/// Settlements that apply, sorted by what they come to.
#[derive(Debug, Default)]
struct Batch {
    endings: Vec<Ending>,
    waits: Vec<Wait>,
    delivered: Vec<Delivered>,
    events: Vec<(JobSeq, NewEvent)>,
    /// Jobs whose earlier wait for objects is over with their settlement.
    children: Vec<JobSeq>,
    /// Jobs that go on as another action.
    other_actions: Vec<(JobSeq, Action)>,
}

/// Settles inside the writer's transaction; what is left to others is done by [`Store::follow`].
pub(in crate::store) async fn settle(
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
            .filter(|job| applies(job, settlement.call) && only(job))
        {
            Some(job) => batch.add(&mut changes, job, settlement),
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
    waits::begin(tx, &mut changes, batch.waits).await?;
    events::append(tx, &batch.events).await?;
    changes.finish(tx).await
}

impl Batch {
    fn add(&mut self, changes: &mut JobChanges, mut job: LockedJob, settlement: Settlement) {
        if job.standing.waiting == Some(WaitingKind::Dependency) {
            self.children.push(job.job);
        }
        self.events
            .extend(settlement.events.into_iter().map(|event| (job.job, event)));
        let succeeded = matches!(
            settlement.to,
            Transition::Ended {
                state: JobState::Succeeded,
                ..
            }
        );
        let delivered = (succeeded && settlement.id_map != IdMapChange::Drop)
            .then_some(settlement.delivered_revision);
        if settlement.id_map != IdMapChange::Keep || delivered.is_some() {
            let id_map = settlement.id_map;
            self.delivered.push(Delivered {
                connection: job.connection,
                object: job.object.clone(),
                id_map,
                delivered,
            });
        }
        job.spent(settlement.attempts, settlement.conflicts);
        if let Some(action) = settlement.act_as {
            self.other_actions.push((job.job, action));
        }
        match settlement.to {
            Transition::Ended {
                state,
                code,
                problem,
                changed,
                block_key,
            } => {
                self.endings.push(Ending {
                    job,
                    state,
                    code,
                    problem,
                    changed,
                    block_key,
                });
            }
            // Its attempts are used up and it would wait for a person, who does not want it any
            // more.
            Transition::Waits {
                reason: Some(WaitingKind::Blocked),
                ..
            } if job.cancelling => {
                changes.report.gone.push(job.job);
                self.endings.push(cancel::taken_back(job));
            }
            Transition::Waits {
                keep_pinned: false,
                problem,
                ..
            } if job.cancelling => {
                changes.report.gone.push(job.job);
                self.endings.push(Ending {
                    job,
                    state: JobState::Cancelled,
                    code: None,
                    problem,
                    changed: None,
                    block_key: None,
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
                self.waits.push(Wait {
                    job,
                    reason,
                    until,
                    parents,
                    problem,
                    keep_pinned,
                    answer_lost,
                });
            }
        }
    }
}

/// From now on the job is this action.
async fn act_as(tx: &mut WriteTx, job: JobSeq, action: Action) -> Result<(), StoreError> {
    sqlx::query("UPDATE job SET action = $1 WHERE id = $2")
        .bind(action.code())
        .bind(job.0)
        .execute(&mut tx.conn)
        .await?;
    Ok(())
}

/// With a call: its intent is open. Without: the job waits.
fn applies(job: &LockedJob, call: Option<i64>) -> bool {
    match call {
        Some(call) => job.standing.state == JobState::InFlight && job.intent == Some((call, true)),
        None => job.standing.state == JobState::Waiting,
    }
}
