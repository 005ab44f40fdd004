//! A guest's abilities in a call: the gate's call handle and the id map, nothing else.

use async_trait::async_trait;
use egression_core::domain::ids::ConnectionId;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;
use secrecy::SecretString;

use crate::gate::exchange::{OutgoingRequest, Response, SendError};
use crate::gate::{CallGate, CredentialError, SignRequest};
use crate::runtime::Abilities;
use crate::store::Store;

/// The most keys of one lookup.
const MAX_LOOKUP_KEYS: usize = 1000;

/// The abilities of one call on one connection.
pub struct ConnectionAbilities {
    pub connection: ConnectionId,
    pub gate: CallGate,
    pub store: Store,
}

#[async_trait]
impl Abilities for ConnectionAbilities {
    async fn send(&self, request: OutgoingRequest) -> Result<Response, SendError> {
        self.gate.send(request).await
    }

    async fn send_all(&self, requests: Vec<OutgoingRequest>) -> Vec<Result<Response, SendError>> {
        self.gate.send_all(requests).await
    }

    async fn placeholder(&self, name: String) -> Result<String, CredentialError> {
        self.gate.placeholder(&name).await
    }

    async fn sign(&self, request: SignRequest) -> Result<String, CredentialError> {
        self.gate.sign(request).await
    }

    async fn deposit(
        &self,
        name: String,
        value: SecretString,
        expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        self.gate.deposit(&name, value, expires_at).await
    }

    fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    ) {
        self.gate.observe(bucket, limit, remaining, reset_ms);
    }

    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>> {
        let asked = &keys[..keys.len().min(MAX_LOOKUP_KEYS)];
        let mut known = match self.store.remotes(self.connection, asked).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "cannot read the id map");
                Vec::new()
            }
        };
        // For keys that could not be read, "unknown" is true.
        known.resize(keys.len(), Vec::new());
        known
    }

    fn redact(&self, text: &str, keep_bytes: usize) -> String {
        self.gate.redact_start(text, keep_bytes)
    }

    fn stop_wanted(&self) -> bool {
        self.gate.is_nearly_over()
    }
}
