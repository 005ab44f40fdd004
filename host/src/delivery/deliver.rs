//! One call from claim to settlement: resolve → intent → run → decide → settle.
//!
//! A delivery owns its jobs from the claim on and answers with what became of each. Whatever
//! happens on the way, the store's word is final: a job that was cancelled meanwhile drops out at
//! the intent, and an outcome is written until the store takes it.

use std::collections::HashSet;
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::problem::Problem;
use egression_core::scheduler::{Claim, Ending, Head};
use egression_core::time::Wall;

use crate::clock::Clock;
use crate::delivery::invoke::session::Sessions;
use crate::delivery::invoke::slot_quota::{ReservationGuard, SlotQuota};
use crate::delivery::prepare::body_schema::BodySchemas;
use crate::delivery::prepare::job_ids::JobIds;
use crate::delivery::settle::auth_failures::AuthFailures;
use crate::documents::configuration::Configuration;
use crate::gate::Gate;
use crate::resolver::Resolver;
use crate::rng::Rng;
use crate::runtime::Registry;
use crate::store::rows::Changes;
use crate::store::{Store, StoreError};
use crate::vault::Vault;

/// Makes deliveries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deliverer {
    store: Store,
    clock: Clock,
    rng: Rng,
    gate: Arc<Gate>,
    resolver: Arc<Resolver>,
    registry: Arc<Registry>,
    configuration: Arc<Configuration>,
    sessions: Arc<Sessions>,
    schemas: Arc<BodySchemas>,
    names: Arc<JobIds>,
    places: Arc<SlotQuota>,
    refusals: Arc<AuthFailures>,
}

/// What a delivery left behind.
#[derive(Debug)]
pub struct Finished {
    pub connection: ConnectionId,
    /// Each job of the claim, and whether the scheduler sees it again.
    pub jobs: Vec<(Head, Ending)>,
    /// What changed in the store.
    pub changes: Changes,
    /// The earliest end of a wait that was written.
    pub due: Option<Wall>,
    /// What the call says about the connection as a whole.
    pub effect: Effect,
}

/// What a call says about its connection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Effect {
    /// Nothing: no call was made, or it says nothing.
    #[default]
    None,
    Healthy,
    /// The destination does not answer.
    Unavailable(Problem),
    Trapped(Problem),
    /// The credential or the settings are refused.
    Refused(Problem),
}

impl Finished {
    /// A delivery that came to nothing: its jobs leave the scheduler's memory as the store has
    /// them.
    #[must_use]
    pub fn abandoned(connection: ConnectionId, heads: Vec<Head>) -> Self {
        let jobs = heads.into_iter().map(|head| (head, Ending::Left)).collect();
        Self {
            connection,
            jobs,
            changes: Changes::default(),
            due: None,
            effect: Effect::None,
        }
    }
}

impl Deliverer {
    /// A deliverer over the host's parts. `slots`: guests that the runtime holds at once;
    /// `check_holds_ms`: how long a check that passed answers whose fault a refusal is.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of the host that meet in a delivery, each by its own type"
    )]
    pub fn new(
        store: Store,
        clock: Clock,
        rng: Rng,
        gate: Arc<Gate>,
        resolver: Arc<Resolver>,
        registry: Arc<Registry>,
        configuration: Arc<Configuration>,
        vault: Arc<Vault>,
        slots: u32,
        check_holds_ms: u64,
    ) -> Self {
        let sessions = Arc::new(Sessions::new(store.clone(), vault, clock.clone()));
        Self {
            store,
            clock,
            rng,
            gate,
            resolver,
            registry,
            configuration,
            sessions,
            schemas: Arc::new(BodySchemas::standard()),
            names: Arc::default(),
            places: Arc::new(SlotQuota::of_slots(slots)),
            refusals: Arc::new(AuthFailures::new(check_holds_ms)),
        }
    }

    /// Forgets what it knows of connections and channels that are not configured any more.
    pub(crate) fn configured(&self) {
        let catalogue = self.configuration.catalogue();
        let connections: HashSet<ConnectionId> = catalogue
            .connections()
            .map(|connection| connection.id)
            .collect();
        let channels: HashSet<&str> = catalogue
            .connections()
            .map(|connection| connection.document.channel.as_str())
            .collect();
        self.places.keep_only(&connections, &channels);
        self.refusals.keep_only(&connections);
        self.sessions.keep_only(&connections);
    }

    /// Delivers the jobs of a claim in call number `call`.
    pub async fn deliver(&self, claim: Claim, call: i64) -> Finished {
        let mut finished = Finished {
            connection: claim.connection,
            jobs: Vec::new(),
            changes: Changes::default(),
            due: None,
            effect: Effect::None,
        };
        let mut reserved =
            ReservationGuard::new(Arc::clone(&self.gate), claim.connection, claim.requests);
        let Some(route) = self.route(claim.connection).await else {
            let effect = self
                .unloaded(claim.connection)
                .await
                .map_or(Effect::None, Effect::Refused);
            return Finished {
                effect,
                ..Finished::abandoned(claim.connection, claim.heads)
            };
        };
        let prepared = self.prepare(&route, &claim, call).await;
        self.settle(&mut finished, prepared.settlements).await;
        finished.jobs.extend(prepared.endings);
        finished.effect = prepared.effect;
        if !prepared.work.is_empty() {
            self.run(
                &route,
                call,
                (prepared.work, prepared.place),
                &mut finished,
                &mut reserved,
            )
            .await;
        }
        finished
    }

    /// Why a connection that is configured has no connector to run; none: it has, or is gone
    /// itself, which the scheduler is told by the configuration.
    pub(crate) async fn unloaded(&self, connection: ConnectionId) -> Option<Problem> {
        let catalogue = self.configuration.catalogue();
        let document = &catalogue.connection_by_id(connection)?.channel.document;
        if self
            .registry
            .connector(&document.connector, document.version.as_deref())
            .await
            .is_some()
        {
            return None;
        }
        let message = format!(
            "the connector {} cannot be loaded; the host's log says why",
            document.connector
        );
        Some(Problem::new("connector.not_loaded", message))
    }

    /// Writes settlements, for as long as it takes, and takes over what they changed.
    async fn settle(
        &self,
        finished: &mut Finished,
        settlements: Vec<crate::store::rows::Settlement>,
    ) {
        if settlements.is_empty() {
            return;
        }
        let earliest = settlements.iter().filter_map(work::due_of).min();
        finished.due = finished.due.into_iter().chain(earliest).min();
        match retry_until_stored(&self.clock, || self.store.settle(settlements.clone())).await {
            Ok(changes) => finished.changes.absorb(changes),
            Err(error) => report_lost(
                &error,
                &settlements.iter().map(|s| s.job).collect::<Vec<_>>(),
            ),
        }
    }
}

/// The store refused for good (it is closing, or a row is unreadable). The intents stay open and
/// are taken up at the next start.
fn report_lost(error: &StoreError, jobs: &[JobSeq]) {
    tracing::error!(%error, jobs = jobs.len(), first = jobs.first().map(|j| j.0), "outcomes could not be written; their intents stay open");
}
