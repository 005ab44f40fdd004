//! The steps between a claim and its intents.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::ids::JobSeq;
use egression_core::domain::state::JobState;
use egression_core::scheduler::{AfterCall, Head};

use super::bodies::BodyReader;
use super::body_checks::BodyChecks;
use super::eligibility::{Candidate, eligible};
use super::parents::wait_for_parents;
use super::reconcile::Reconciler;
use crate::clock::Clock;
use crate::delivery::finished::Disposed;
use crate::delivery::invoke::invoker::Invoker;
use crate::delivery::invoke::slot_quota::ConcurrencyPermit;
use crate::delivery::job_store::JobStore;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::resolver::Resolver;
use crate::rng::Rng;
use crate::store::rows::{ClaimRow, NewIntent};

#[derive(Debug)]
pub struct Preparer {
    store: JobStore,
    bodies: BodyReader,
    reconciler: Reconciler,
    invoker: Arc<Invoker>,
    clock: Clock,
}

/// A claim that is ready for its intents.
#[derive(Debug, Default)]
pub struct Prepared {
    /// Jobs that may be sent.
    pub work: Vec<Work>,
    /// The other jobs.
    pub disposed: Disposed,
    /// Lets the guest run.
    pub permit: Option<ConcurrencyPermit>,
}

impl Preparer {
    pub fn new(
        store: JobStore,
        resolver: Arc<Resolver>,
        checks: BodyChecks,
        invoker: Arc<Invoker>,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        Self {
            bodies: BodyReader::new(store.store().clone(), resolver, checks, clock.clone()),
            reconciler: Reconciler::new(store.clone(), Arc::clone(&invoker), clock.clone(), rng),
            store,
            invoker,
            clock,
        }
    }

    /// Reads the bodies of a claim, asks for lost sends, and sorts out what cannot go now.
    pub async fn prepare(&self, route: &Route, heads: Vec<Head>, call: i64) -> Prepared {
        let mut prepared = Prepared::default();
        let disposed = &mut prepared.disposed;
        let candidates = self.candidates(route, heads, disposed).await;
        let began = self.clock.mono();
        let work = self.bodies.read(route, candidates, disposed).await;
        if work.is_empty() {
            return prepared;
        }
        // The wait for a permit may take as long as the calls before, and a question about lost
        // sends as long as a call.
        prepared.permit = self.invoker.slots.acquire(route).await;
        let mut work = self.reconciler.reconcile(route, call, work, disposed).await;
        if self.clock.mono().since_ms(began) > route.channel.payload_max_age_ms {
            work = self.bodies.read_again(route, work, disposed).await;
        }
        let work = within_bytes(route, work, disposed);
        let now = self.clock.wall();
        prepared.work = wait_for_parents(&self.store, route, work, now, disposed).await;
        prepared
    }

    /// The jobs of a claim that may still go, in its order.
    async fn candidates(
        &self,
        route: &Route,
        heads: Vec<Head>,
        disposed: &mut Disposed,
    ) -> Vec<Candidate> {
        let jobs: Vec<JobSeq> = heads.iter().map(|head| head.job).collect();
        let rows = match self.store.claim(&jobs).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "cannot read a claim");
                disposed.leave(heads);
                return Vec::new();
            }
        };
        let mut rows: HashMap<JobSeq, ClaimRow> =
            rows.into_iter().map(|row| (row.job, row)).collect();
        let now = self.clock.wall();
        let mut candidates = Vec::with_capacity(heads.len());
        for head in heads {
            match rows
                .remove(&head.job)
                .filter(|row| row.state == JobState::Waiting)
            {
                Some(row) => match eligible(route, head, row, now) {
                    Ok(candidate) => candidates.push(candidate),
                    Err(settlement) => disposed.aside(head, *settlement),
                },
                // Canceled or expired in the meantime.
                None => disposed.leave([head]),
            }
        }
        candidates
    }

    /// Opens the intents of a prepared claim. Returns the batch that may be sent.
    pub async fn open_intents(
        &self,
        route: &Route,
        call: i64,
        prepared: &mut Prepared,
    ) -> Vec<Work> {
        let mut work = std::mem::take(&mut prepared.work);
        if work.is_empty() {
            return work;
        }
        let disposed = &mut prepared.disposed;
        if let Err(error) = self
            .store
            .look_up_references(route.connection, &mut work)
            .await
        {
            tracing::error!(%error, "cannot read the id map; nothing is sent");
            disposed.leave(work.into_iter().map(|item| item.head));
            return Vec::new();
        }
        let intents: Vec<NewIntent> = work
            .iter()
            .map(|item| NewIntent {
                job: item.row.job,
                call,
                attempt: item.attempt(),
                pinned: item.pinned.clone(),
                events: item.events.clone(),
            })
            .collect();
        let opened = self
            .store
            .open_intents(&intents)
            .await
            .unwrap_or_else(|error| {
                tracing::error!(%error, "cannot write intents; nothing is sent");
                Vec::new()
            });
        let (batch, left): (Vec<Work>, Vec<Work>) = work
            .into_iter()
            .partition(|item| opened.contains(&item.row.job));
        disposed.leave(left.into_iter().map(|item| item.head));
        batch
    }
}

/// The items that fit into a call's bytes; the others go in a later call.
fn within_bytes(route: &Route, work: Vec<Work>, disposed: &mut Disposed) -> Vec<Work> {
    let mut total = 0;
    let mut kept: Vec<Work> = Vec::with_capacity(work.len());
    for item in work {
        let most = item.support(route).map_or(0, |support| support.max_bytes);
        let with_it = total + item.bytes();
        if most > 0 && with_it > most && !kept.is_empty() {
            let later = AfterCall::Again {
                attempts: item.row.attempts,
                pinned: item.row.pinned.is_some(),
                call_cap: None,
            };
            disposed.jobs.push((item.head, later));
        } else {
            total = with_it;
            kept.push(item);
        }
    }
    kept
}
