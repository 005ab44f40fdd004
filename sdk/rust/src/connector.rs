//! What an author implements.

use crate::{Call, CallError, Description, Findings, Item, ItemOutcome, Problem, Session};

/// An output connector.
///
/// A connector is a type without state: guest memory never carries over between calls as far as a
/// connector may assume, so every function gets all it needs as arguments. What must outlive a call
/// goes into the [`Session`] or to the destination.
pub trait Connector {
    /// Says what this connector is: object types, limits, auth schemes, settings, hosts. Runs
    /// without network and must always give the same answer.
    fn describe() -> Description;

    /// Makes a session, for connections whose auth scheme is `connector`. `previous` is the session
    /// that expired, if there was one. One session serves many calls and instances.
    ///
    /// By default an empty session without an expiry, for connectors whose credentials the host
    /// manages.
    ///
    /// # Errors
    /// [`CallError::AuthRejected`] if the credential is refused; any other call error as it fits.
    fn authenticate(call: &Call<'_>, previous: Option<&Session>) -> Result<Session, CallError> {
        let _ = (call, previous);
        Ok(Session::new(Vec::new()))
    }

    /// Looks whether the connection works, and changes nothing there.
    ///
    /// By default `unsupported`, which says nothing about the connection.
    ///
    /// # Errors
    /// The call error that a delivery would meet: refused credentials, an unreachable destination.
    fn check(call: &Call<'_>) -> Result<Findings, CallError> {
        let _ = call;
        Err(CallError::Unsupported(Problem::new(
            "check.unsupported",
            "this connector has no check",
        )))
    }

    /// Delivers items of one object type and, unless mixed actions are declared, one action.
    /// Answers for each index once; what was settled through [`Call::report`] need not be returned
    /// again.
    ///
    /// # Errors
    /// A call error ends the whole call; items already reported keep their outcome. See
    /// [`CallError`] for what each one claims about the rest: most of them say that nothing was
    /// applied.
    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError>;
}
