//! The trait that an author implements.

use crate::{Call, CallError, Description, Findings, Item, ItemOutcome, Problem, Session};

/// An output connector.
///
/// A connector is a type without state. It must not assume that guest memory survives a call, so
/// each function gets all data as arguments. Data that must survive a call belongs in the
/// [`Session`] or at the destination.
pub trait Connector {
    /// Describes the connector: object types, limits, auth schemes, settings, hosts. Runs without
    /// network, and must always return the same description.
    fn describe() -> Description;

    /// Creates a session, for connections with the auth scheme `connector`. `previous` is the
    /// session that expired, if there is one. One session serves many calls and instances.
    ///
    /// The default is an empty session that never expires, for connectors whose credentials the
    /// host manages.
    ///
    /// # Errors
    /// [`CallError::AuthRejected`] if the destination refuses the credential; another call error
    /// for another failure.
    fn authenticate(call: &Call<'_>, previous: Option<&Session>) -> Result<Session, CallError> {
        let _ = (call, previous);
        Ok(Session::new(Vec::new()))
    }

    /// Checks whether the connection works. Changes nothing at the destination.
    ///
    /// The default is the error `unsupported`, which says nothing about the connection.
    ///
    /// # Errors
    /// The call error that a delivery would get, for example because of refused credentials or an
    /// unreachable destination.
    fn check(call: &Call<'_>) -> Result<Findings, CallError> {
        let _ = call;
        Err(CallError::Unsupported(Problem::new(
            "check.unsupported",
            "this connector has no check",
        )))
    }

    /// Delivers items of one object type and, unless mixed actions are declared, of one action.
    /// Returns one outcome per item. Items that were settled through [`Call::report`] need not be
    /// returned again.
    ///
    /// # Errors
    /// A call error ends the whole call. Reported items keep their outcome. Most call errors claim
    /// that nothing else was applied; see [`CallError`].
    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError>;
}
