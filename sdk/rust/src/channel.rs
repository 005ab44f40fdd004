//! A connector's access to the outside.
//!
//! [`Channel`] contains the contract's imports in one object-safe trait, so that a connector's code
//! runs unchanged in the sandbox and in native unit tests. Connectors use it through
//! [`Call`](crate::Call).

use crate::{
    Attr, CredentialError, HttpError, ItemOutcome, Level, ObjectKey, Remote, Request, Response,
    SignRequest,
};

/// The functions that a connector may call. Durations and instants are milliseconds; instants count
/// from the Unix epoch.
pub trait Channel {
    /// Sends one request and waits for the whole response.
    ///
    /// # Errors
    /// [`HttpError`] says whether the request left the host.
    fn send(&self, request: &Request) -> Result<Response, HttpError>;

    /// Sends several requests, as many at once as the host allows. The results have the order of
    /// the requests.
    fn send_all(&self, requests: &[Request]) -> Vec<Result<Response, HttpError>>;

    /// A text that stands for the secret `name`. The host replaces it when a request leaves.
    ///
    /// # Errors
    /// [`CredentialError::Missing`] if the connection has no such secret.
    fn placeholder(&self, name: &str) -> Result<String, CredentialError>;

    /// Signs with a secret.
    ///
    /// # Errors
    /// If a secret is missing or the request is invalid.
    fn sign(&self, request: &SignRequest) -> Result<String, CredentialError>;

    /// Stores a secret that the destination issued, as a new generation of `name`.
    ///
    /// # Errors
    /// If the host does not store it.
    fn deposit(
        &self,
        name: &str,
        value: &str,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CredentialError>;

    /// Settles items now. Their outcomes survive a trap later in the call. If the result is true,
    /// the host asks the connector to stop early.
    fn report(&self, outcomes: Vec<ItemOutcome>) -> bool;

    /// Passes on a limit that the destination reported. An observation can tighten a limit, but
    /// never widen it.
    fn observe(
        &self,
        bucket: Option<&str>,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    );

    /// The known remote ids of these objects at the destination, in the order of the keys.
    fn lookup(&self, keys: &[ObjectKey]) -> Vec<Vec<Remote>>;

    /// Adds a line to the history of one item, or of all items of the call.
    fn log(&self, level: Level, message: &str, item: Option<u32>, attrs: Vec<Attr>);

    /// The wall clock, in milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}
