//! The gate as the host sees it: it knows the destinations, opens calls and answers for the limits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use egression_core::domain::ids::Owner;
use egression_core::scheduler::limits::LimitKey;
use egression_core::time::{Mono, Wall};
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::gate::error::GateError;
use crate::gate::limiter::budget::Headroom;
use crate::gate::limiter::limit_report::LimitReport;
use crate::gate::limiter::limiter::Limiter;
use crate::gate::limiter::usage::Usage;
use crate::gate::policy::destination::Destination;
use crate::gate::send::call::CallGate;
use crate::gate::send::client_pool::ClientPool;
use crate::gate::send::context::GateContext;
use crate::gate::send::token_cache::TokenCache;
use crate::gate::settings::GateSettings;
use crate::store::{Store, StoreError};
use crate::vault::Vault;

pub struct Gate {
    pub(super) context: Arc<GateContext>,
    destinations: RwLock<HashMap<Owner, Arc<Destination>>>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Opens the gate on the current runtime and restores closed limits and used windows from the
    /// store. Nothing can be sent before [`Self::configure`]. Fails if the store fails, or if the
    /// additional authorities are unusable.
    pub async fn start(
        settings: GateSettings,
        store: Store,
        vault: Vault,
        clock: Clock,
    ) -> Result<Arc<Self>, GateError> {
        let clients = ClientPool::new(&settings)?;
        let limiter = Limiter::restore(store, settings.guard(), clock.clone()).await?;
        Ok(Arc::new(Self {
            context: Arc::new(GateContext {
                clients,
                settings,
                vault,
                clock,
                limiter,
                tokens: TokenCache::default(),
                stopping: AtomicBool::new(false),
                handle: Handle::current(),
            }),
            destinations: RwLock::default(),
        }))
    }

    /// Replaces all destinations. Unchanged limits keep their state, and open calls keep the
    /// destination they were opened with.
    pub fn configure(&self, destinations: Vec<Destination>) {
        let mut known = self.destinations.write();
        let limiter = &self.context.limiter;
        limiter
            .budget_now()
            .configure(&destinations, self.context.clock.mono());
        *known = destinations
            .into_iter()
            .map(|d| (d.owner, Arc::new(d)))
            .collect();
        drop(known);
        limiter.headroom_changed.notify_one();
    }

    /// Asks every call to end early, because the host shuts down.
    pub fn ask_to_stop(&self) {
        self.context.stopping.store(true, Ordering::Release);
    }

    pub fn destination(&self, owner: Owner) -> Option<Arc<Destination>> {
        self.destinations.read().get(&owner).cloned()
    }

    /// Opens the gate for one call. The call takes `estimate` requests from the owner's
    /// reservation; if that holds fewer, the gate reserves the rest now.
    pub fn open_call(
        &self,
        destination: Arc<Destination>,
        call: i64,
        deadline: Mono,
        estimate: u32,
    ) -> CallGate {
        let reservation = self
            .context
            .limiter
            .budget()
            .claim(destination.owner, estimate);
        CallGate::new(
            Arc::clone(&self.context),
            destination,
            call,
            deadline,
            reservation,
        )
    }

    /// Reserves requests for an admitted call, until [`Self::open_call`] claims them.
    pub fn reserve(&self, owner: Owner, requests: u32) {
        self.context.limiter.budget().reserve(owner, requests);
    }

    /// Returns the reservation of a call that is not opened after all.
    pub fn unreserve(&self, owner: Owner, requests: u32) {
        self.context.limiter.budget().unreserve(owner, requests);
        self.context.limiter.headroom_changed.notify_one();
    }

    /// How many unreserved requests could be sent within the admission horizon. Only limits that
    /// cover every request count, because nobody knows yet which operations a connector will use.
    /// An unknown owner has none.
    pub fn headroom(&self, owner: Owner) -> Headroom {
        self.context.limiter.budget_now().headroom(
            owner,
            self.context.clock.mono(),
            self.context.settings.admission_horizon_ms,
        )
    }

    /// Closes an owner's limits until then: every limit with that name, or the owner's own key. The
    /// closure is in force at once and durable when this returns. For an unknown owner this does
    /// nothing. Fails if the store fails; the limit is still closed until the host stops.
    pub async fn throttle(
        &self,
        owner: Owner,
        bucket: Option<&str>,
        until: Wall,
        reason: &str,
    ) -> Result<(), StoreError> {
        let Some(destination) = self.destination(owner) else {
            return Ok(());
        };
        let mut closed = Ok(());
        for key in destination.buckets(bucket) {
            closed = closed.and(self.context.limiter.close(key, until, reason).await);
        }
        closed
    }

    /// Reopens a limit that a destination closed. False: no destination has such a limit.
    pub async fn reopen(&self, key: &str) -> Result<bool, StoreError> {
        let Some(report) = self
            .limits()
            .into_iter()
            .find(|report| &*report.key.0 == key)
        else {
            return Ok(false);
        };
        self.context.limiter.reopen(&report.key).await?;
        Ok(true)
    }

    /// Reopens the limits that every request of an owner counts against.
    pub async fn reopen_after_check(&self, owner: Owner) -> Result<(), StoreError> {
        let Some(destination) = self.destination(owner) else {
            return Ok(());
        };
        for key in destination.common_keys() {
            if self.closed_until(&key.0).is_some() {
                self.context.limiter.reopen(key).await?;
            }
        }
        Ok(())
    }

    /// Until when a destination closed a limit.
    pub fn closed_until(&self, key: &str) -> Option<Wall> {
        let clock = &self.context.clock;
        let limiter = &self.context.limiter;
        let closed = limiter.budget().closed(&LimitKey::new(key), clock.mono());
        closed.map(|until| clock.wall_of(until))
    }

    /// All limits by key, each with its owners; also the keys that owners have without a limit.
    pub fn limits(&self) -> Vec<LimitReport> {
        let mut reports: BTreeMap<LimitKey, LimitReport> = BTreeMap::new();
        let destinations: Vec<_> = self.destinations.read().values().cloned().collect();
        for destination in &destinations {
            let own = (&destination.own_key, None, None);
            let defined = destination
                .limits
                .iter()
                .map(|limit| (&limit.key, Some(limit.kind), limit.counts.clone()));
            for (key, kind, counts) in defined.chain([own]) {
                reports
                    .entry(key.clone())
                    .or_insert_with(|| LimitReport {
                        key: key.clone(),
                        kind,
                        counts,
                        owners: Vec::new(),
                        admitted: 0,
                        closed_until: None,
                    })
                    .owners
                    .push(destination.owner);
            }
        }
        let (clock, budget) = (&self.context.clock, self.context.limiter.budget_now());
        let now = clock.mono();
        for report in reports.values_mut() {
            report.owners.sort_unstable();
            report.admitted = budget.admitted(&report.key);
            report.closed_until = budget
                .closed(&report.key, now)
                .map(|until| clock.wall_of(until));
        }
        drop(budget);
        reports.into_values().collect()
    }

    /// States whether only its limits keep an owner's jobs from being sent. The usage meter runs
    /// while they do.
    pub fn set_demand(&self, owner: Owner, demand: bool) {
        let now = self.context.clock.mono();
        self.context.limiter.budget().set_demand(owner, demand, now);
    }

    /// How an owner uses its limits; `None` for an unknown owner.
    pub fn usage(&self, owner: Owner) -> Option<Usage> {
        self.context
            .limiter
            .budget()
            .usage(owner, self.context.clock.mono())
    }

    /// Notified when some owner's [`Self::headroom`] may have grown for another reason than time.
    /// Supports one waiting task.
    pub fn headroom_changed(&self) -> &Notify {
        &self.context.limiter.headroom_changed
    }
}
