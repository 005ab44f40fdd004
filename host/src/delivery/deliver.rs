//! The loop of a delivery, and the parts that do its steps.

use std::collections::HashSet;
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::scheduler::Claim;

use super::crash_recovery::CrashRecovery;
use super::finished::Finished;
use super::invoke::invoker::Invoker;
use super::invoke::probe::{Probe, Prober};
use super::job_store::JobStore;
use super::job_with_bytes::item_index;
use super::prepare::body_checks::BodyChecks;
use super::prepare::preparer::Preparer;
use super::route::Routes;
use super::settle::reviewer::Reviewer;
use super::settle::settler::Settler;
use crate::clock::Clock;
use crate::documents::configuration::Configuration;
use crate::gate::Gate;
use crate::resolver::Resolver;
use crate::rng::Rng;
use crate::runtime::Registry;
use crate::store::rows::Changes;
use crate::store::{Store, StoreError};
use crate::vault::Vault;

/// Makes deliveries.
#[derive(Debug)]
pub struct Deliverer {
    routes: Routes,
    preparer: Preparer,
    invoker: Arc<Invoker>,
    reviewer: Reviewer,
    settler: Settler,
    prober: Prober,
    recovery: CrashRecovery,
}

/// The parts of the host that meet in a delivery.
#[derive(Debug)]
pub struct DeliveryParts {
    pub store: Store,
    pub clock: Clock,
    pub rng: Rng,
    pub gate: Arc<Gate>,
    pub resolver: Arc<Resolver>,
    pub registry: Arc<Registry>,
    pub configuration: Arc<Configuration>,
    pub vault: Arc<Vault>,
    /// Guests that the runtime holds at once.
    pub slots: u32,
    /// How long a passed connection check tells whose fault a refusal is.
    pub check_holds_ms: u64,
}

impl Deliverer {
    pub fn new(parts: DeliveryParts) -> Arc<Self> {
        let (clock, rng) = (parts.clock, parts.rng);
        let jobs = JobStore::new(parts.store.clone(), clock.clone());
        let checks = BodyChecks::new(&parts.registry);
        let routes = Routes::new(parts.configuration, parts.registry, Arc::clone(&parts.gate));
        let invoker = Arc::new(Invoker::new(
            parts.store,
            parts.vault,
            parts.gate,
            clock.clone(),
            parts.slots,
        ));
        Arc::new(Self {
            preparer: Preparer::new(
                jobs.clone(),
                parts.resolver,
                checks,
                Arc::clone(&invoker),
                clock.clone(),
                rng.clone(),
            ),
            reviewer: Reviewer::new(
                jobs.clone(),
                Arc::clone(&invoker),
                clock.clone(),
                rng,
                parts.check_holds_ms,
            ),
            settler: Settler::new(jobs.clone()),
            prober: Prober::new(routes.clone(), Arc::clone(&invoker)),
            recovery: CrashRecovery::new(jobs, routes.clone(), clock),
            routes,
            invoker,
        })
    }

    /// Delivers the jobs of a claim in call number `call`. A batch that the destination refuses as
    /// a whole goes again in two halves.
    pub async fn deliver(&self, claim: Claim, call: i64) -> Finished {
        let mut reservation = self.invoker.reservation(claim.connection, claim.requests);
        let route = match self.routes.find(claim.connection).await {
            Ok(route) => route,
            Err(missing) => return Finished::without_route(claim, missing),
        };
        let mut finished = Finished::new(claim.connection);
        let mut prepared = self.preparer.prepare(&route, claim.heads, call).await;
        let batch = self
            .preparer
            .open_intents(&route, call, &mut prepared)
            .await;
        self.settler.settle(prepared.disposed, &mut finished).await;

        let mut permit = prepared.permit;
        let mut batches = vec![batch];
        while let Some(batch) = batches.pop().filter(|batch| !batch.is_empty()) {
            let permit = permit.take();
            let invocation = self
                .invoker
                .deliver(&route, call, &batch, permit, &mut reservation)
                .await;
            let proven = invocation.proven_session();
            if invocation.is_complete() {
                finished.sent(item_index(batch.len()), invocation.answered_writes());
            }
            let review = self.reviewer.review(&route, call, batch, invocation).await;
            self.settler.settle(review.disposed, &mut finished).await;
            // After the settlement: the session's lock may be held while a new one is made.
            self.invoker.sessions.confirm(&route, proven.as_ref()).await;
            batches.extend(review.smaller_batches.into_iter().rev());
        }
        finished
    }

    /// Checks a connection; none if it is gone.
    pub async fn check(&self, connection: ConnectionId, by_person: bool) -> Option<Probe> {
        self.prober.probe(connection, by_person).await
    }

    /// Settles the intents that were open when the host died. Returns how many there were, and the
    /// children that wait for jobs that ended here.
    pub async fn recover(&self) -> Result<(usize, Vec<JobSeq>), StoreError> {
        self.recovery.recover().await
    }

    /// Ends children whose parents were not delivered, or not in time.
    pub async fn fail_orphans(&self, orphans: &[JobSeq]) -> Changes {
        self.recovery.fail_orphans(orphans).await
    }

    /// Forgets connections and channels that are no longer configured.
    pub fn forget_removed(&self) {
        let catalogue = self.routes.catalogue();
        let connections: HashSet<ConnectionId> = catalogue
            .connections()
            .map(|connection| connection.id)
            .collect();
        let channels: HashSet<&str> = catalogue
            .connections()
            .map(|connection| connection.document.channel.as_str())
            .collect();
        self.invoker.slots.keep_only(&connections, &channels);
        self.invoker.sessions.keep_only(&connections);
        self.reviewer.keep_only(&connections);
    }
}
