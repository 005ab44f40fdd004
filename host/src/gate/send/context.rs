//! What a request can reach on its way: the parts that all calls share ([`GateContext`]), and one
//! call with the ledger of what it did ([`CallContext`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use egression_core::domain::outcome::Evidence;
use egression_core::time::Mono;
use parking_lot::{Mutex, MutexGuard};
use reqwest::header::HeaderValue;
use secrecy::SecretString;
use tokio::runtime::Handle;

use super::client_pool::ClientPool;
use super::token_cache::TokenCache;
use crate::clock::Clock;
use crate::gate::credentials::placeholders::{self, CredentialError};
use crate::gate::credentials::redact::Redactor;
use crate::gate::exchange::Exchange;
use crate::gate::limiter::limiter::Limiter;
use crate::gate::limiter::reservations::Reservation;
use crate::gate::policy::destination::Destination;
use crate::gate::settings::GateSettings;
use crate::vault::Vault;

/// Bytes kept of an exchange's error.
const MAX_ERROR_BYTES: usize = 1024;

/// What all calls share.
pub struct GateContext {
    pub settings: GateSettings,
    pub vault: Vault,
    pub clock: Clock,
    pub limiter: Arc<Limiter>,
    pub clients: ClientPool,
    pub tokens: TokenCache,
    /// The host shuts down: calls should end early.
    pub stopping: AtomicBool,
    /// The runtime of all requests, whichever runtime the caller is on.
    pub handle: Handle,
}

/// One call. Dropping it returns what it reserved and did not use.
pub struct CallContext {
    pub gate: Arc<GateContext>,
    pub destination: Arc<Destination>,
    pub call: i64,
    pub opened: Mono,
    pub deadline: Mono,
    pub reservation: Mutex<Reservation>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    evidence: Evidence,
    /// Requests in flight: whether each may write, and whether it left.
    in_flight: Vec<(bool, Arc<AtomicBool>)>,
    exchanges: Vec<Exchange>,
    deposits: usize,
    redactor: Redactor,
    /// The redactor has all secrets of the owner.
    knows_secrets: bool,
    /// The caller's W3C Trace Context, for requests without their own.
    traceparent: Option<HeaderValue>,
}

impl CallContext {
    pub fn new(
        gate: Arc<GateContext>,
        destination: Arc<Destination>,
        call: i64,
        deadline: Mono,
        reservation: Reservation,
    ) -> Self {
        let opened = gate.clock.mono();
        // A response to this call may contain a secret that an earlier call sent.
        let secrets = gate.vault.values_in_memory(destination.owner);
        let context = Self {
            gate,
            destination,
            call,
            opened,
            deadline,
            reservation: Mutex::new(reservation),
            ledger: Mutex::default(),
        };
        if let Some(secrets) = secrets {
            context.redact_all(&secrets);
        }
        context
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// Redacts secrets that the call sends.
    pub fn redact_sent<'a>(&self, secrets: impl IntoIterator<Item = &'a SecretString>) {
        let mut ledger = self.ledger();
        for secret in secrets {
            ledger.redactor.add(secret);
        }
    }

    /// Redacts all secrets of the owner, sent or not.
    fn redact_all(&self, secrets: &[SecretString]) {
        let mut ledger = self.ledger();
        for secret in secrets {
            ledger.redactor.add_unused(secret);
        }
        ledger.knows_secrets = true;
    }

    /// Loads the owner's secrets for redaction if they were not in memory when the call opened.
    pub async fn load_secrets(&self) {
        if self.ledger().knows_secrets {
            return;
        }
        // If this fails, the request that uses the secret reports it.
        if let Ok(secrets) = self.gate.vault.values(self.destination.owner).await {
            self.redact_all(&secrets);
        }
    }

    pub fn with_redactor<T>(&self, work: impl FnOnce(&Redactor) -> T) -> T {
        work(&self.ledger().redactor)
    }

    /// A text for people: without secrets and placeholders.
    pub fn redact(&self, text: &str) -> String {
        placeholders::hidden(&self.with_redactor(|redactor| redactor.text(text)))
    }

    /// Counts a deposited secret. Each costs a commit, and the call redacts all its forms from then
    /// on.
    pub fn count_deposit(&self) -> Result<(), CredentialError> {
        let most = self.gate.settings.max_deposits_per_call;
        let mut ledger = self.ledger();
        if ledger.deposits >= most {
            return Err(CredentialError::Invalid(format!(
                "a call can deposit at most {most} secrets; raise `gate.max_deposits_per_call`"
            )));
        }
        ledger.deposits += 1;
        Ok(())
    }

    pub fn traceparent(&self) -> Option<HeaderValue> {
        self.ledger().traceparent.clone()
    }

    pub fn set_traceparent(&self, traceparent: Option<HeaderValue>) {
        self.ledger().traceparent = traceparent;
    }

    /// Records an exchange for the history, up to the bound in the settings.
    pub fn record(&self, mut exchange: Exchange) {
        if let Some(error) = &mut exchange.error {
            error.truncate(error.floor_char_boundary(MAX_ERROR_BYTES));
        }
        let mut ledger = self.ledger();
        if ledger.exchanges.len() < self.gate.settings.max_exchanges_per_call {
            ledger.exchanges.push(exchange);
        }
    }

    pub fn exchanges(&self) -> Vec<Exchange> {
        self.ledger().exchanges.clone()
    }

    /// What left the host so far. A request in flight that left counts as unanswered.
    pub fn evidence(&self) -> Evidence {
        let ledger = self.ledger();
        let mut evidence = ledger.evidence;
        for (write, left) in &ledger.in_flight {
            add_evidence(&mut evidence, *write, left.load(Ordering::Acquire), false);
        }
        evidence
    }

    /// Returns what the call reserved and did not use.
    pub fn release(&self) {
        // The order of the locks is the same as in `Limiter::acquire`.
        let mut budget = self.gate.limiter.budget();
        let returned = budget.release(&mut self.reservation.lock());
        drop(budget);
        if returned {
            self.gate.limiter.headroom_changed.notify_one();
        }
    }
}

impl Drop for CallContext {
    fn drop(&mut self) {
        self.release();
    }
}

/// A request in flight. If it is dropped before [`Self::answered`], its answer is lost.
pub struct Flight<'a> {
    call: &'a CallContext,
    write: bool,
    left: Arc<AtomicBool>,
    answered: bool,
}

impl<'a> Flight<'a> {
    pub fn begin(call: &'a CallContext, write: bool, left: Arc<AtomicBool>) -> Self {
        call.ledger().in_flight.push((write, Arc::clone(&left)));
        Self {
            call,
            write,
            left,
            answered: false,
        }
    }

    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut ledger = self.call.ledger();
        ledger
            .in_flight
            .retain(|(_, other)| !Arc::ptr_eq(other, &self.left));
        let left = self.left.load(Ordering::Acquire);
        add_evidence(&mut ledger.evidence, self.write, left, self.answered);
    }
}

fn add_evidence(evidence: &mut Evidence, write: bool, left: bool, answered: bool) {
    evidence.anything_left |= left;
    evidence.write_left |= left && write;
    evidence.answer_lost |= left && write && !answered;
}
