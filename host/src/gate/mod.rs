//! Everything that leaves the host, whoever wants it: connectors, the resolver, the host itself.
//!
//! The way of a request ([`CallGate::send`]): deadline → grants and shape → literal address →
//! secrets → limits → dial. Promises: nothing leaves that is not granted; a secret goes only to
//! hosts that it was entered for and comes back masked; the limits hold at the moment of sending;
//! the address that was checked is the one that is dialled; an error says for certain whether
//! anything was sent. Nothing is repeated, redirected or sent through a proxy.
//!
//! What an answer means for a job is judged elsewhere.

mod address;
mod answer;
mod budget;
mod call;
mod cost;
mod destination;
mod draw;
mod encoding;
mod error;
pub mod exchange;
mod facts;
mod filling;
mod grants;
mod masking;
mod placeholders;
mod pool;
mod queues;
mod resolver;
mod send;
mod settings;
mod sign;
mod slices;
#[cfg(test)]
mod tests;
mod timer;
mod token;
mod transfer;
mod usage;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use egression_core::time::{Mono, Wall};
use tokio::runtime::Handle;
use tokio::sync::Notify;

pub use address::AddressRefused;
pub use budget::Headroom;
pub use call::CallGate;
pub use cost::Cost;
pub use destination::{BoundLimit, Destination};
pub use error::GateError;
pub use facts::{LimitFacts, SliceRow};
pub use grants::{Grant, GrantError, HostPattern, Scheme, is_bound_to};
pub use placeholders::CredentialError;
pub use send::BEARER_TOKEN;
pub use settings::GateSettings;
pub use sign::{Algorithm, Encoding, SignRequest};
pub use token::{ACCESS_TOKEN, CLIENT_SECRET};
pub use usage::Usage;

use crate::clock::Clock;
use crate::store::StoreError;
use crate::vault::Vault;
use draw::Limiter;
use pool::Pool;
use token::Tokens;

pub struct Gate {
    settings: GateSettings,
    vault: Vault,
    clock: Clock,
    limiter: Arc<Limiter>,
    pool: Pool,
    tokens: Tokens,
    destinations: RwLock<HashMap<String, Arc<Destination>>>,
    /// The host shuts down: calls are asked to end early.
    stopping: AtomicBool,
    /// Requests run here, whichever runtime asks.
    handle: Handle,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Opens the gate on the present runtime, with closed limits and used windows as the store
    /// knows them. Nothing can be sent before [`Self::configure`].
    ///
    /// # Errors
    /// What the store says; that the additional authorities cannot be used.
    pub async fn start(
        settings: GateSettings,
        facts: impl LimitFacts + 'static,
        vault: Vault,
        clock: Clock,
    ) -> Result<Arc<Self>, GateError> {
        let pool = Pool::new(&settings)?;
        let limiter = Limiter::restore(Box::new(facts), settings.guard(), clock.clone()).await?;
        Ok(Arc::new(Self {
            pool,
            settings,
            vault,
            clock,
            limiter,
            tokens: Tokens::default(),
            destinations: RwLock::default(),
            stopping: AtomicBool::new(false),
            handle: Handle::current(),
        }))
    }

    /// Makes these destinations the ones there are. Limits that are unchanged keep their state;
    /// open calls keep the destination that they were opened with.
    pub fn configure(&self, destinations: Vec<Destination>) {
        let mut known = self
            .destinations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.limiter
            .budget_of_now()
            .configure(&destinations, self.clock.mono());
        *known = destinations
            .into_iter()
            .map(|d| (d.owner.clone(), Arc::new(d)))
            .collect();
        drop(known);
        self.limiter.limited.notify_one();
    }

    /// The host shuts down: from now on every call hears that it should end early.
    pub fn ask_to_stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// The destination of an owner.
    #[must_use]
    pub fn destination(&self, owner: &str) -> Option<Arc<Destination>> {
        self.destinations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(owner)
            .cloned()
    }

    /// Opens the gate for one call. `estimate` requests are taken from what was reserved for the
    /// owner; what is missing is set aside now.
    #[must_use]
    pub fn open_call(
        self: &Arc<Self>,
        destination: Arc<Destination>,
        call: i64,
        deadline: Mono,
        estimate: u32,
    ) -> CallGate {
        let reservation = self.limiter.budget().claim(&destination.owner, estimate);
        CallGate::new(Arc::clone(self), destination, call, deadline, reservation)
    }

    /// Sets requests aside for a call that was admitted, until [`Self::open_call`] takes them over.
    pub fn reserve(&self, owner: &str, requests: u32) {
        self.limiter.budget().reserve(owner, requests);
    }

    /// Gives back what was reserved for a call that is not opened after all.
    pub fn unreserve(&self, owner: &str, requests: u32) {
        self.limiter.budget().unreserve(owner, requests);
        self.limiter.limited.notify_one();
    }

    /// How many requests could be drawn within the admission horizon beside those set aside. Only
    /// limits that cover every request count: which operations a connector will use is not known
    /// before. Unknown owner: none.
    #[must_use]
    pub fn headroom(&self, owner: &str) -> Headroom {
        self.limiter.budget_of_now().headroom(
            owner,
            self.clock.mono(),
            self.settings.admission_horizon_ms,
        )
    }

    /// Closes limits of an owner until then: all of the name, or the owner's own key. In force at
    /// once, and durable when this returns. An owner that is not known any more has nothing to
    /// close.
    ///
    /// # Errors
    /// What the store says; the limit is closed in this run all the same.
    pub async fn throttle(
        &self,
        owner: &str,
        bucket: Option<&str>,
        until: Wall,
        reason: &str,
    ) -> Result<(), StoreError> {
        let Some(destination) = self.destination(owner) else {
            return Ok(());
        };
        let mut closed = Ok(());
        for key in destination.buckets(bucket) {
            closed = closed.and(self.limiter.close(key, until, reason).await);
        }
        closed
    }

    /// Whether an owner has a job that could be sent but for its limits. The meter runs while it
    /// has.
    pub fn set_demand(&self, owner: &str, demand: bool) {
        self.limiter
            .budget()
            .set_demand(owner, demand, self.clock.mono());
    }

    /// An owner's use of its limits; none if it is not known.
    #[must_use]
    pub fn usage(&self, owner: &str) -> Option<Usage> {
        self.limiter.budget().usage(owner, self.clock.mono())
    }

    /// Woken when [`Self::headroom`] of some owner may have grown other than by time. For one
    /// waiter.
    #[must_use]
    pub fn limited(&self) -> &Notify {
        &self.limiter.limited
    }
}
