//! The outside world as a connector sees it.
//!
//! [`Channel`] is the contract's imports as one object-safe trait, so that a connector's code runs
//! unchanged inside the sandbox and in native unit tests. Authors call it through
//! [`Call`](crate::Call).

use crate::{
    Attr, CredentialError, HttpError, ItemOutcome, Level, ObjectKey, Remote, Request, Response,
    SignRequest,
};

/// What a connector may do to the outside. Durations and instants are milliseconds; instants count
/// from the Unix epoch.
pub trait Channel {
    /// Sends one request and waits for the whole response.
    ///
    /// # Errors
    /// [`HttpError`] tells 'nothing was sent' from 'it left, and no whole answer came back'.
    fn send(&self, request: &Request) -> Result<Response, HttpError>;

    /// Sends several at once, as many at a time as the host allows; answers are in the order of the
    /// requests.
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>>;

    /// A text that stands for the secret `name`; the host replaces it as the request leaves.
    ///
    /// # Errors
    /// [`CredentialError::Missing`] if the connection has no such secret.
    fn placeholder(&self, name: &str) -> Result<String, CredentialError>;

    /// Signs with a secret.
    ///
    /// # Errors
    /// A missing secret, or a request that makes no sense.
    fn sign(&self, request: &SignRequest) -> Result<String, CredentialError>;

    /// Keeps a secret that the destination handed out, as a new generation of `name`.
    ///
    /// # Errors
    /// If the host does not take it.
    fn deposit(
        &self,
        name: &str,
        value: &str,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CredentialError>;

    /// Settles items now; survives a trap later in the call. True: the host asks to stop early.
    fn report(&self, outcomes: Vec<ItemOutcome>) -> bool;

    /// Tells the host what the destination said about its limits. Observations tighten, they never
    /// widen.
    fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    );

    /// What the hub knows of these objects at the destination, in the order of the keys.
    fn lookup(&self, keys: &[ObjectKey]) -> Vec<Vec<Remote>>;

    /// Adds a line to the history of the item, or of every item of the call.
    fn log(&self, level: Level, message: &str, item: Option<u32>, attrs: Vec<Attr>);

    /// The wall clock.
    fn now_ms(&self) -> u64;
}
