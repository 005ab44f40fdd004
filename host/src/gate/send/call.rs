//! The gate as one call of a connector sees it: bound to an owner and a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use egression_core::domain::outcome::Evidence;
use egression_core::time::{Mono, Wall};
use futures_util::{StreamExt as _, stream};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::context::{CallContext, GateContext};
use super::exchange_record::UnsentRecord;
use super::send;
use crate::documents::secret::{MAX_SECRET_BYTES, check_fit};
use crate::gate::credentials::placeholders::{self, CredentialError, Placeholders};
use crate::gate::credentials::sign::{self, SignRequest};
use crate::gate::credentials::substitute::ResolvedSecrets;
use crate::gate::exchange::{Exchange, OutgoingRequest, Response, SendError};
use crate::gate::limiter::reservations::Reservation;
use crate::gate::policy::destination::Destination;
use crate::telemetry::layer_cpu::Layer;
use crate::vault::SecretInput;

/// The setting that bounds what is signed.
const MAX_SIGN: &str = "gate.max_sign_bytes";

/// A call's way out. Cheap to clone; clones share the ledger. Dropping the last clone returns what
/// the call reserved and did not use.
#[derive(Clone)]
pub struct CallGate {
    context: Arc<CallContext>,
}

impl CallGate {
    pub(in crate::gate) fn new(
        gate: Arc<GateContext>,
        destination: Arc<Destination>,
        call: i64,
        deadline: Mono,
        reservation: Reservation,
    ) -> Self {
        Self {
            context: Arc::new(CallContext::new(
                gate,
                destination,
                call,
                deadline,
                reservation,
            )),
        }
    }

    /// Adds this `traceparent` (W3C Trace Context) to every later request that has none. A text
    /// that cannot be a header value is ignored.
    pub fn trace(&self, traceparent: &str) {
        self.context
            .set_traceparent(HeaderValue::from_str(traceparent).ok());
    }

    /// Less than a tenth of the call's time is left, or the host shuts down.
    pub fn is_nearly_over(&self) -> bool {
        let context = &self.context;
        if context.gate.stopping.load(Ordering::Acquire) {
            return true;
        }
        let left_us = context.deadline.since_us(context.gate.clock.mono());
        left_us.saturating_mul(10) < context.deadline.since_us(context.opened)
    }

    /// Sends one request and waits for the whole response. The request continues to its end even if
    /// the caller stops waiting. Errors: [`SendError`], which states whether anything was sent.
    pub async fn send(&self, request: OutgoingRequest) -> Result<Response, SendError> {
        let (context, left) = (Arc::clone(&self.context), Arc::new(AtomicBool::new(false)));
        let (record, request_left) = (UnsentRecord::of(&self.context, &request), Arc::clone(&left));
        // On the gate's own runtime, so that a busy guest cannot delay responses, and a guest that
        // ends does not cancel its request.
        let sending =
            self.context
                .gate
                .handle
                .spawn(Layer::Gate.measure(async move {
                    Box::pin(send::send(&context, request, request_left)).await
                }));
        sending.await.unwrap_or_else(|error| {
            let why = format!("the host aborted the request: {error}");
            let error = if left.load(Ordering::Acquire) {
                SendError::SentWithoutAnswer(why)
            } else {
                SendError::NeverSent(why)
            };
            record.record(&self.context, &error);
            Err(error)
        })
    }

    /// Sends several requests, as many at once as the settings allow, and returns the responses in
    /// the order of the requests. Requests beyond the allowed count are not sent, and bodies beyond
    /// the allowed bytes are omitted.
    pub async fn send_all(
        &self,
        mut requests: Vec<OutgoingRequest>,
    ) -> Vec<Result<Response, SendError>> {
        let settings = &self.context.gate.settings;
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
        answers.resize_with(count, || {
            Err(SendError::NeverSent(format!(
                "one `send-all` has at most {most} requests; raise `gate.send_all_requests`"
            )))
        });
        answers
    }

    /// The placeholder of the owner's secret, which stays the same until the secret changes.
    pub async fn placeholder(&self, name: &str) -> Result<String, CredentialError> {
        let gate = &self.context.gate;
        placeholders::text_for(&gate.vault, &gate.clock, &self.context.destination, name).await
    }

    /// Signs with the owner's secrets.
    pub async fn sign(&self, request: SignRequest) -> Result<String, CredentialError> {
        let gate = &self.context.gate;
        let most = gate.settings.max_sign_bytes;
        let attrs: usize = request
            .attrs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let bytes = (request.key.len() + request.data.len() + attrs) as u64;
        if bytes > most {
            return Err(CredentialError::Invalid(format!(
                "the text to sign has {bytes} bytes and {most} are allowed; raise `{MAX_SIGN}`"
            )));
        }
        let mut placeholders = Placeholders::new(gate.settings.max_placeholders);
        placeholders
            .read(&request.key)
            .and_then(|()| placeholders.read(&request.data))
            .map_err(CredentialError::Invalid)?;
        let secrets =
            ResolvedSecrets::look_up(&gate.vault, &self.context.destination, placeholders)
                .await
                .map_err(CredentialError::Invalid)?;
        self.context
            .redact_sent(secrets.iter().map(|(_, secret)| &secret.value));
        let key = secrets
            .substitute(&request.key, most, MAX_SIGN)
            .map_err(CredentialError::Invalid)?;
        let left = most.saturating_sub(key.expose_secret().len() as u64);
        let data = secrets
            .substitute(&request.data, left, MAX_SIGN)
            .map_err(CredentialError::Invalid)?;
        sign::sign(&request, key.expose_secret(), data.expose_secret())
    }

    /// Stores a secret that the destination issued as a new generation of `name`. It keeps the
    /// hosts of the entered secret that it replaces; a new secret is bound to the granted hosts.
    /// Errors: [`CredentialError::Invalid`] for an invalid name or value, or if the store fails.
    pub async fn deposit(
        &self,
        name: &str,
        value: SecretString,
        expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        let destination = &self.context.destination;
        placeholders::check_owned(destination, name)?;
        let bytes = value.expose_secret().len() as u64;
        if bytes > MAX_SECRET_BYTES {
            return Err(CredentialError::Invalid(format!(
                "a secret has at most {MAX_SECRET_BYTES} bytes, not {bytes}"
            )));
        }
        check_fit(value.expose_secret())
            .map_err(|error| CredentialError::Invalid(error.to_string()))?;
        self.context.count_deposit()?;
        let hosts = destination.grants.iter().map(ToString::to_string).collect();
        self.context.redact_sent([&value]);
        let vault = &self.context.gate.vault;
        let entered = destination
            .auth
            .as_ref()
            .is_some_and(|auth| auth.secrets().iter().any(|secret| secret.name == name));
        if entered {
            vault
                .renew(destination.owner, name, value, expires_at, hosts)
                .await?;
        } else {
            let secret = SecretInput {
                expires_at,
                max_secrets: Some(self.context.gate.settings.max_secrets_per_connection),
                ..SecretInput::new(value, hosts)
            };
            vault.put(destination.owner, name, secret).await?;
        }
        Ok(())
    }

    /// Applies what the destination says about a limit: `limit` requests in total, `remaining`
    /// left, all back in `reset_ms`. This can only tighten a limit.
    pub fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    ) {
        for key in self.context.destination.buckets(bucket) {
            self.context.gate.limiter.observe(
                key,
                limit,
                remaining,
                reset_ms,
                self.longest_wait_ms(),
            );
        }
    }

    /// The longest wait that the destination can ask for, in milliseconds.
    pub fn longest_wait_ms(&self) -> u64 {
        self.context.destination.max_retry_after_ms
    }

    /// What left the host so far. A request in flight that left counts as unanswered.
    pub fn evidence(&self) -> Evidence {
        self.context.evidence()
    }

    /// The redacted exchanges of the call, up to the bound in the settings.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.context.exchanges()
    }

    /// A text without the secrets of this call.
    pub fn redact(&self, text: &str) -> String {
        self.context.redact(text)
    }

    /// The first `keep_bytes` of a text without the secrets of this call. A secret that the cut
    /// would split is replaced as a whole.
    pub fn redact_start(&self, text: &str, keep_bytes: usize) -> String {
        let redacted = self
            .context
            .with_redactor(|redactor| redactor.start(text, keep_bytes));
        placeholders::hidden(&redacted)
    }

    /// The owner's destination when the call was opened.
    #[cfg(test)]
    pub fn destination(&self) -> &Arc<Destination> {
        &self.context.destination
    }

    /// Returns what the call reserved and did not use.
    pub fn close(&self) {
        self.context.release();
    }
}

impl std::fmt::Debug for CallGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallGate")
            .field("owner", &self.context.destination.owner)
            .field("call", &self.context.call)
            .finish_non_exhaustive()
    }
}
