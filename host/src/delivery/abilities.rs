//! What a guest can do in a call: the gate's call handle, the id map, and nothing else.

use async_trait::async_trait;
use egression_core::domain::ids::ConnectionId;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;
use secrecy::SecretString;

use crate::gate::CallGate;
use crate::gate::exchange::{Answer, OutgoingRequest, SendError};
use crate::runtime::abilities::{Abilities, CredentialError, ObservedLimit, SignRequest};
use crate::store::Store;

/// The most keys of one look-up.
const MAX_LOOKUP_KEYS: usize = 1000;

/// The abilities of one call on one connection.
pub(super) struct ConnectionAbilities {
    pub(super) connection: ConnectionId,
    pub(super) gate: CallGate,
    pub(super) store: Store,
}

#[async_trait]
impl Abilities for ConnectionAbilities {
    async fn send(&self, request: OutgoingRequest) -> Result<Answer, SendError> {
        self.gate.send(request).await
    }

    async fn send_all(&self, requests: Vec<OutgoingRequest>) -> Vec<Result<Answer, SendError>> {
        self.gate.send_all(requests).await
    }

    async fn placeholder(&self, name: String) -> Result<String, CredentialError> {
        self.gate.placeholder(&name).await
    }

    async fn sign(&self, request: SignRequest) -> Result<String, CredentialError> {
        self.gate.sign(request).await
    }

    async fn deposit(&self, name: String, value: SecretString, expires_at: Option<Wall>) -> Result<(), CredentialError> {
        self.gate.deposit(&name, value, expires_at).await
    }

    async fn observe(&self, observed: ObservedLimit) {
        self.gate.observe(observed.bucket.as_deref(), observed.limit, observed.remaining, observed.reset_ms);
    }

    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>> {
        let asked = &keys[..keys.len().min(MAX_LOOKUP_KEYS)];
        let mut known = match self.store.remotes(self.connection, asked).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, connection = %self.connection, "the id map could not be read");
                Vec::new()
            }
        };
        // Unknown to us is a true answer for what could not be read.
        known.resize(keys.len(), Vec::new());
        known
    }

    fn redact(&self, text: &str) -> String {
        self.gate.redact(text)
    }
}
