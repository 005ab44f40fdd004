//! The gate as one call of a connector sees it: bound to an owner, a deadline, and a ledger of what
//! it did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egression_core::domain::outcome::Evidence;
use egression_core::time::{Mono, Wall};
use futures_util::{StreamExt as _, stream};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::Gate;
use super::budget::Reservation;
use super::destination::Destination;
use super::exchange::{Answer, Exchange, OutgoingRequest, SendError};
use super::filling::Resolved;
use super::masking::Mask;
use super::placeholders::{self, CredentialError, Wanted};
use super::send::{self, Shown};
use super::sign::{self, SignRequest};
use super::transfer::RawAnswer;
use crate::documents::secret::MAX_SECRET_BYTES;

/// The setting that bounds what is signed.
const MAX_SIGN: &str = "gate.max_sign_bytes";

/// Bytes kept of an exchange's error.
const MAX_NOTED_ERROR_BYTES: usize = 1024;

/// A call's way out. Cheap to clone; clones share the ledger. When the last one goes, what the call
/// had set aside and did not use goes back.
#[derive(Clone)]
pub struct CallGate {
    state: Arc<CallState>,
}

pub(super) struct CallState {
    pub(super) gate: Arc<Gate>,
    pub(super) destination: Arc<Destination>,
    pub(super) call: i64,
    opened: Mono,
    pub(super) deadline: Mono,
    pub(super) reservation: Mutex<Reservation>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    evidence: Evidence,
    /// Requests under way: whether each may write, and whether it left.
    under_way: Vec<(bool, Arc<AtomicBool>)>,
    exchanges: Vec<Exchange>,
    deposits: usize,
    mask: Mask,
    /// The mask has all of the owner's secrets.
    knows_secrets: bool,
    /// The caller's W3C Trace Context, for every request that brings none.
    traceparent: Option<HeaderValue>,
}

impl CallGate {
    pub(super) fn new(
        gate: Arc<Gate>,
        destination: Arc<Destination>,
        call: i64,
        deadline: Mono,
        reservation: Reservation,
    ) -> Self {
        let opened = gate.clock.mono();
        // A secret that an earlier call used may come back in an answer to this one.
        let secrets = gate.vault.values_in_memory(&destination.owner);
        let ledger = Ledger {
            knows_secrets: secrets.is_some(),
            ..Ledger::default()
        };
        let state = CallState {
            gate,
            destination,
            call,
            opened,
            deadline,
            reservation: Mutex::new(reservation),
            ledger: Mutex::new(ledger),
        };
        state.mask_unused(secrets.iter().flatten());
        Self {
            state: Arc::new(state),
        }
    }

    /// From now on every request that brings no `traceparent` of its own carries this one (W3C
    /// Trace Context). A text that is no header value is left out.
    pub fn trace(&self, traceparent: &str) {
        self.state.ledger().traceparent = HeaderValue::from_str(traceparent).ok();
    }

    /// Less than a tenth of the call's time is left, or the host shuts down.
    #[must_use]
    pub fn is_nearly_over(&self) -> bool {
        if self.state.gate.stopping.load(Ordering::Acquire) {
            return true;
        }
        let left_us = self.state.deadline.since_us(self.state.gate.clock.mono());
        left_us.saturating_mul(10) < self.state.deadline.since_us(self.state.opened)
    }

    /// Sends one request and waits for the whole answer. It goes on to its end if the caller stops
    /// waiting.
    ///
    /// # Errors
    /// [`SendError`]: says for certain whether anything was sent.
    pub async fn send(&self, request: OutgoingRequest) -> Result<Answer, SendError> {
        let (state, left) = (Arc::clone(&self.state), Arc::new(AtomicBool::new(false)));
        let (noted, its_left) = (Shown::of(&self.state, &request), Arc::clone(&left));
        // On the gate's own runtime: a guest that computes must not hold up answers, nor take a
        // request along when it ends.
        let sending = self
            .state
            .gate
            .handle
            .spawn(async move { Box::pin(send::send(&state, request, its_left)).await });
        sending.await.unwrap_or_else(|error| {
            let why = format!("the host broke off: {error}");
            let left = left.load(Ordering::Acquire);
            let error = if left {
                SendError::SentWithoutAnswer(why)
            } else {
                SendError::NeverSent(why)
            };
            noted.note(&self.state, &error);
            Err(error)
        })
    }

    /// Sends several, as many at once as the gate's settings allow. Answers are in the order of the
    /// requests. Requests beyond the bound of one such call are not sent, and bytes of answers
    /// beyond it are left out.
    pub async fn send_all(
        &self,
        mut requests: Vec<OutgoingRequest>,
    ) -> Vec<Result<Answer, SendError>> {
        let settings = &self.state.gate.settings;
        let (count, most) = (requests.len(), settings.send_all_requests);
        requests.truncate(most);
        let mut left = settings.send_all_response_bytes;
        let sends = stream::iter(requests)
            .map(|request| self.send(request))
            .buffered(settings.send_all_concurrency.max(1));
        let mut answers: Vec<_> = sends
            .map(|answer| answer.map(|answer| answer.within(&mut left)))
            .collect()
            .await;
        let beyond = || {
            SendError::NeverSent(format!(
                "one `send-all` has at most {most} requests; raise `gate.send_all_requests`"
            ))
        };
        answers.resize_with(count, || Err(beyond()));
        answers
    }

    /// A text that stands for a secret of the owner: the same until the secret changes.
    pub async fn placeholder(&self, name: &str) -> Result<String, CredentialError> {
        let gate = &self.state.gate;
        placeholders::text_for(&gate.vault, &gate.clock, &self.state.destination, name).await
    }

    /// Signs with the owner's secrets.
    pub async fn sign(&self, request: SignRequest) -> Result<String, CredentialError> {
        let gate = &self.state.gate;
        let most = gate.settings.max_sign_bytes;
        let attrs: usize = request
            .attrs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let bytes = (request.key.len() + request.data.len() + attrs) as u64;
        if bytes > most {
            return Err(CredentialError::Invalid(format!(
                "{bytes} bytes are to be signed and {most} are allowed; raise `{MAX_SIGN}`"
            )));
        }
        let mut wanted = Wanted::new(gate.settings.max_placeholders);
        wanted
            .read(&request.key)
            .and_then(|()| wanted.read(&request.data))
            .map_err(CredentialError::Invalid)?;
        let resolved = Resolved::look_up(&gate.vault, &self.state.destination, wanted).await;
        let resolved = resolved.map_err(CredentialError::Invalid)?;
        self.state
            .mask_also(resolved.secrets().map(|(_, secret)| &secret.value));
        let key = resolved
            .fill_plain(&request.key, most, MAX_SIGN)
            .map_err(CredentialError::Invalid)?;
        let left = most.saturating_sub(key.expose_secret().len() as u64);
        let data = resolved
            .fill_plain(&request.data, left, MAX_SIGN)
            .map_err(CredentialError::Invalid)?;
        sign::sign(&request, key.expose_secret(), data.expose_secret())
    }

    /// Keeps a secret that the destination handed out as a new generation of `name`: bound to the
    /// hosts of the entered one that it succeeds, else to the granted hosts.
    ///
    /// # Errors
    /// [`CredentialError::Invalid`] for a name that cannot be, or if it could not be stored.
    pub async fn deposit(
        &self,
        name: &str,
        value: SecretString,
        expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        let destination = &self.state.destination;
        placeholders::check_owned(destination, name)?;
        let bytes = value.expose_secret().len() as u64;
        if bytes > MAX_SECRET_BYTES {
            return Err(CredentialError::Invalid(format!(
                "a secret has at most {MAX_SECRET_BYTES} bytes, not {bytes}"
            )));
        }
        self.state.count_deposit()?;
        let hosts = destination.grants.iter().map(ToString::to_string).collect();
        self.state.mask_also([&value]);
        let vault = &self.state.gate.vault;
        let entered = destination
            .auth
            .as_ref()
            .is_some_and(|auth| auth.secrets().iter().any(|secret| secret.name == name));
        if entered {
            vault
                .renew(&destination.owner, name, value, expires_at, hosts)
                .await?;
        } else {
            let most = self.state.gate.settings.max_secrets_per_connection;
            vault
                .put_within(&destination.owner, name, value, hosts, expires_at, most)
                .await?;
        }
        Ok(())
    }

    /// What the destination says of a limit: `limit` requests in all, `remaining` left, `reset_ms`
    /// until all are back. Tightens, never widens.
    pub fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    ) {
        let gate = &self.state.gate;
        for key in self.state.destination.buckets(bucket) {
            gate.limiter.observe(key, limit, remaining, reset_ms);
        }
    }

    /// What left the host so far. A request under way counts as left without an answer.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let ledger = self.state.ledger();
        let mut evidence = ledger.evidence;
        for (write, left) in &ledger.under_way {
            let left = left.load(Ordering::Acquire);
            evidence.anything_left |= left;
            evidence.write_left |= left && *write;
            evidence.answer_lost |= left && *write;
        }
        evidence
    }

    /// The exchanges of the call, redacted; at most as many as the gate's settings say.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state.ledger().exchanges.clone()
    }

    /// A text with the secrets of this call masked.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.state.redact(text)
    }

    /// The first `keep_bytes` of a text with the secrets of this call masked; one that begins
    /// before the cut is masked whole.
    #[must_use]
    pub fn redact_start(&self, text: &str, keep_bytes: usize) -> String {
        placeholders::hidden(&self.state.with_mask(|mask| mask.start(text, keep_bytes)))
    }

    /// The owner's destination as it was when the call was opened.
    #[must_use]
    pub fn destination(&self) -> &Arc<Destination> {
        &self.state.destination
    }

    /// Not later than this is anything sent or answered.
    #[must_use]
    pub fn deadline(&self) -> Mono {
        self.state.deadline
    }

    /// Gives back what was set aside and not used.
    pub fn close(&self) {
        self.state.release();
    }
}

impl std::fmt::Debug for CallGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallGate")
            .field("owner", &self.state.destination.owner)
            .field("call", &self.state.call)
            .finish_non_exhaustive()
    }
}

impl CallState {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Masks these from now on.
    pub(super) fn mask_also<'a>(&self, secrets: impl IntoIterator<Item = &'a SecretString>) {
        let mut ledger = self.ledger();
        for secret in secrets {
            ledger.mask.add(secret);
        }
    }

    /// Counts one secret to keep. Each is a commit, and masked in all its forms from then on.
    fn count_deposit(&self) -> Result<(), CredentialError> {
        let most = self.gate.settings.max_deposits_per_call;
        let mut ledger = self.ledger();
        if ledger.deposits >= most {
            let why =
                format!("a call keeps at most {most} secrets; raise `gate.max_deposits_per_call`");
            return Err(CredentialError::Invalid(why));
        }
        ledger.deposits += 1;
        Ok(())
    }

    /// Masks these, whether the call uses them or not.
    fn mask_unused<'a>(&self, secrets: impl IntoIterator<Item = &'a SecretString>) {
        let mut ledger = self.ledger();
        for secret in secrets {
            ledger.mask.add_unused(secret);
        }
    }

    /// Masks the owner's secrets if they could not be had when the call was opened.
    pub(super) async fn know_secrets(&self) {
        if self.ledger().knows_secrets {
            return;
        }
        // What cannot be read is said where it is used.
        if let Ok(secrets) = self.gate.vault.values(&self.destination.owner).await {
            self.mask_unused(&secrets);
            self.ledger().knows_secrets = true;
        }
    }

    /// Works with the secrets of the call.
    pub(super) fn with_mask<T>(&self, work: impl FnOnce(&Mask) -> T) -> T {
        work(&self.ledger().mask)
    }

    pub(super) fn redact(&self, text: &str) -> String {
        placeholders::hidden(&self.with_mask(|mask| mask.text(text)))
    }

    pub(super) fn traceparent(&self) -> Option<HeaderValue> {
        self.ledger().traceparent.clone()
    }

    /// Keeps an exchange for the history.
    pub(super) fn note(&self, mut exchange: Exchange) {
        if let Some(error) = &mut exchange.error {
            error.truncate(error.floor_char_boundary(MAX_NOTED_ERROR_BYTES));
        }
        let mut ledger = self.ledger();
        if ledger.exchanges.len() < self.gate.settings.max_exchanges_per_call {
            ledger.exchanges.push(exchange);
        }
    }

    fn release(&self) {
        // The budget first, as when drawing.
        let mut budget = self.gate.limiter.budget();
        let gave_back = budget.release(
            &mut self
                .reservation
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        drop(budget);
        if gave_back {
            self.gate.limiter.limited.notify_one();
        }
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        self.release();
    }
}

/// A request under way, as the ledger sees it. Dropped without an end, its answer is lost.
pub(super) struct Flight<'a> {
    call: &'a CallState,
    write: bool,
    left: Arc<AtomicBool>,
    answered: bool,
}

impl<'a> Flight<'a> {
    pub(super) fn begin(call: &'a CallState, write: bool, left: Arc<AtomicBool>) -> Self {
        call.ledger().under_way.push((write, Arc::clone(&left)));
        Self {
            call,
            write,
            left,
            answered: false,
        }
    }

    pub(super) fn end(mut self, result: &Result<RawAnswer, SendError>) {
        self.answered = result.is_ok();
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let left = self.left.load(Ordering::Acquire);
        let mut ledger = self.call.ledger();
        ledger
            .under_way
            .retain(|(_, other)| !Arc::ptr_eq(other, &self.left));
        ledger.evidence.anything_left |= left;
        ledger.evidence.write_left |= left && self.write;
        ledger.evidence.answer_lost |= left && self.write && !self.answered;
    }
}
