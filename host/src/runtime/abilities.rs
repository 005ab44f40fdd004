//! What a running guest can do to the world, as the runtime asks for it. The runtime knows no gate,
//! no vault and no store: whoever starts a call hands in an implementation that is bound to that
//! call's connection.
//!
//! The runtime calls these on the host's own threads, never on those of the guests. An
//! implementation ends by itself at the call's deadline; one that does not costs the guest its life
//! (`guest.deadline`).

use async_trait::async_trait;
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::time::Wall;
use secrecy::SecretString;

use crate::gate::exchange::{OutgoingRequest, Response, SendError};

/// The abilities of one call.
#[async_trait]
pub trait Abilities: Send + Sync + 'static {
    /// Sends one request through the gate and waits for the whole answer.
    ///
    /// # Errors
    /// Why there is no answer, and whether anything left the host.
    async fn send(&self, request: OutgoingRequest) -> Result<Response, SendError>;

    /// Sends several at once; as many answers as requests, in their order.
    async fn send_all(&self, requests: Vec<OutgoingRequest>) -> Vec<Result<Response, SendError>>;

    /// A text that the gate replaces by the secret.
    ///
    /// # Errors
    /// [`CredentialError::Missing`] if the connection has no such secret.
    async fn placeholder(&self, name: String) -> Result<String, CredentialError>;

    /// Signs or digests with secrets.
    ///
    /// # Errors
    /// When a secret is missing or the request makes no sense.
    async fn sign(&self, request: SignRequest) -> Result<String, CredentialError>;

    /// Keeps a secret that the destination handed out.
    ///
    /// # Errors
    /// When the connection may not keep it.
    async fn deposit(
        &self,
        name: String,
        value: SecretString,
        expires_at: Option<Wall>,
    ) -> Result<(), CredentialError>;

    /// What the destination said about a limit.
    async fn observe(&self, observed: ObservedLimit);

    /// What the id map knows of these objects, one list per key in their order.
    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>>;

    /// The text's first `keep_bytes` with every secret of this call masked; one that begins before
    /// the cut is masked whole. Costs no more for a longer text.
    fn redact(&self, text: &str, keep_bytes: usize) -> String;

    /// True: the guest is asked to stop early, at its next report.
    fn stop_wanted(&self) -> bool {
        false
    }
}

/// A wish to sign or digest.
#[derive(Clone, Debug)]
pub struct SignRequest {
    pub algorithm: SignAlgorithm,
    /// The key: text with placeholders; empty for plain digests.
    pub key: String,
    /// The data: text with placeholders.
    pub data: String,
    /// The form of the result.
    pub encoding: SignEncoding,
    /// For `Aws4`: `date`, `region`, `service`.
    pub attrs: Vec<(String, String)>,
}

/// Ways to sign and digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignAlgorithm {
    /// HMAC (RFC 2104) with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
    /// A plain MD5 digest.
    Md5,
    /// A plain SHA-256 digest.
    Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518).
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518).
    Es256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// AWS Signature Version 4's derived key.
    Aws4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignEncoding {
    Hex,
    /// Base 64 with padding.
    Base64,
    /// Base 64 for URLs, without padding.
    Base64Url,
}

/// Why a credential cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The connection has no secret of that name.
    #[error("no secret `{0}`")]
    Missing(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// What a destination said about one of its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedLimit {
    /// As named in the description; none: the connection's own.
    pub bucket: Option<String>,
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// Milliseconds until it is full again.
    pub reset_ms: Option<u64>,
}

/// The abilities of a guest that only describes itself: none.
#[derive(Clone, Copy, Debug)]
pub struct NoAbilities;

const NOTHING: &str = "there is no connection: the connector is only asked to describe itself";

#[async_trait]
impl Abilities for NoAbilities {
    async fn send(&self, _request: OutgoingRequest) -> Result<Response, SendError> {
        Err(SendError::Denied(NOTHING.to_owned()))
    }

    async fn send_all(&self, requests: Vec<OutgoingRequest>) -> Vec<Result<Response, SendError>> {
        requests
            .iter()
            .map(|_| Err(SendError::Denied(NOTHING.to_owned())))
            .collect()
    }

    async fn placeholder(&self, _name: String) -> Result<String, CredentialError> {
        Err(CredentialError::Invalid(NOTHING.to_owned()))
    }

    async fn sign(&self, _request: SignRequest) -> Result<String, CredentialError> {
        Err(CredentialError::Invalid(NOTHING.to_owned()))
    }

    async fn deposit(
        &self,
        _name: String,
        _value: SecretString,
        _expires_at: Option<Wall>,
    ) -> Result<(), CredentialError> {
        Err(CredentialError::Invalid(NOTHING.to_owned()))
    }

    async fn observe(&self, _observed: ObservedLimit) {}

    async fn lookup(&self, keys: Vec<ObjectKey>) -> Vec<Vec<Remote>> {
        keys.iter().map(|_| Vec::new()).collect()
    }

    fn redact(&self, text: &str, keep_bytes: usize) -> String {
        text[..text.floor_char_boundary(keep_bytes)].to_owned()
    }
}
