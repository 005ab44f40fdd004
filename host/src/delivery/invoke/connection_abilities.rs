//! A guest's abilities in a call: the gate's call handle and the id map, nothing else.

use async_trait::async_trait;
use egression_core::domain::ids::ConnectionId;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;
use secrecy::SecretString;

use crate::gate::exchange::{OutgoingRequest, Response, SendError};
use crate::gate::{self, CallGate};
use crate::runtime::abilities::{
    Abilities, CredentialError, ObservedLimit, SignAlgorithm, SignEncoding, SignRequest,
};
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
        self.gate.placeholder(&name).await.map_err(refused)
    }

    async fn sign(&self, request: SignRequest) -> Result<String, CredentialError> {
        self.gate.sign(to_gate(request)).await.map_err(refused)
    }

    async fn deposit(
        &self,
        name: String,
        value: SecretString,
        expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        self.gate
            .deposit(&name, value, expires_at)
            .await
            .map_err(refused)
    }

    async fn observe(&self, observed: ObservedLimit) {
        self.gate.observe(
            observed.bucket.as_deref(),
            observed.limit,
            observed.remaining,
            observed.reset_ms,
        );
    }

    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>> {
        let asked = &keys[..keys.len().min(MAX_LOOKUP_KEYS)];
        let mut known = match self.store.remotes(self.connection, asked).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, connection = %self.connection, "cannot read the id map");
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

fn refused(error: gate::CredentialError) -> CredentialError {
    match error {
        gate::CredentialError::Missing(name) => CredentialError::Missing(name),
        gate::CredentialError::Invalid(why) => CredentialError::Invalid(why),
    }
}

fn to_gate(request: SignRequest) -> gate::SignRequest {
    let algorithm = match request.algorithm {
        SignAlgorithm::HmacSha1 => gate::Algorithm::HmacSha1,
        SignAlgorithm::HmacSha256 => gate::Algorithm::HmacSha256,
        SignAlgorithm::HmacSha512 => gate::Algorithm::HmacSha512,
        SignAlgorithm::Md5 => gate::Algorithm::Md5,
        SignAlgorithm::Sha256 => gate::Algorithm::Sha256,
        SignAlgorithm::Rs256 => gate::Algorithm::Rs256,
        SignAlgorithm::Es256 => gate::Algorithm::Es256,
        SignAlgorithm::Ed25519 => gate::Algorithm::Ed25519,
        SignAlgorithm::Aws4 => gate::Algorithm::Aws4,
    };
    let encoding = match request.encoding {
        SignEncoding::Hex => gate::Encoding::Hex,
        SignEncoding::Base64 => gate::Encoding::Base64,
        SignEncoding::Base64Url => gate::Encoding::Base64Url,
    };
    gate::SignRequest {
        algorithm,
        key: request.key,
        data: request.data,
        encoding,
        attrs: request.attrs,
    }
}
