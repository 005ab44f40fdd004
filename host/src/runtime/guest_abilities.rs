//! What a running guest can do outside itself. The caller of a connector passes an implementation
//! that is bound to the call's connection.
//!
//! The runtime runs abilities on the host's own threads, never on the guests' threads. An
//! implementation returns by the call's deadline. If it does not, the guest traps with
//! `guest.deadline`.

use async_trait::async_trait;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;
use secrecy::SecretString;

use crate::gate::exchange::{OutgoingRequest, Response, SendError};
use crate::gate::{CredentialError, SignRequest};

/// The abilities of one call. Without an implementation of its own, each is refused.
#[async_trait]
pub trait Abilities: Send + Sync + 'static {
    /// Sends one request through the gate and waits for the whole answer. The error says whether
    /// anything left the host.
    async fn send(&self, _request: OutgoingRequest) -> Result<Response, SendError> {
        Err(SendError::Denied(NO_CONNECTION.to_owned()))
    }

    /// Sends several requests at once; returns as many answers as requests, in their order.
    async fn send_all(&self, requests: Vec<OutgoingRequest>) -> Vec<Result<Response, SendError>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.send(request).await);
        }
        answers
    }

    /// A text that the gate replaces with the secret. Errors: [`CredentialError::Missing`] if the
    /// connection has no such secret.
    async fn placeholder(&self, _name: String) -> Result<String, CredentialError> {
        Err(CredentialError::Invalid(NO_CONNECTION.to_owned()))
    }

    /// Signs or digests with secrets. Fails if a secret is missing or the request is invalid.
    async fn sign(&self, _request: SignRequest) -> Result<String, CredentialError> {
        Err(CredentialError::Invalid(NO_CONNECTION.to_owned()))
    }

    /// Stores a secret that the destination issued. Fails if the connection may not store it.
    async fn deposit(
        &self,
        _name: String,
        _value: SecretString,
        _expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        Err(CredentialError::Invalid(NO_CONNECTION.to_owned()))
    }

    /// Takes note of a limit that the destination reported. Without `bucket`, it is the
    /// connection's own limit.
    fn observe(
        &self,
        _bucket: Option<&str>,
        _limit: Option<u64>,
        _remaining: Option<u64>,
        _reset_ms: Option<u64>,
    ) {
    }

    /// The known remote ids of these objects, one list per key in their order.
    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>> {
        vec![Vec::new(); keys.len()]
    }

    /// The first `keep_bytes` of the text, with each secret of this call masked. A secret that
    /// begins before the cut is masked whole. The cost does not grow with the length of the text.
    fn redact(&self, text: &str, keep_bytes: usize) -> String;

    /// Whether the guest should stop early, at its next report.
    fn stop_wanted(&self) -> bool {
        false
    }
}

/// The abilities of a guest that runs without a connection: none.
#[derive(Clone, Copy, Debug)]
pub struct NoAbilities;

const NO_CONNECTION: &str = "the connector runs without a connection";

#[async_trait]
impl Abilities for NoAbilities {
    fn redact(&self, text: &str, keep_bytes: usize) -> String {
        text[..text.floor_char_boundary(keep_bytes)].to_owned()
    }
}
