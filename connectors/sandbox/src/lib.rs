//! The tutorial connector: delivers categories, brands, products and offers to the sandbox shop.
//!
//! Read it in this order:
//!
//! 1. `describe` says what the connector is. It runs without network.
//! 2. `settings` is what an operator enters for a connection.
//! 3. `session` shows how a connector logs in by itself and never sees the secret.
//! 4. `check` looks whether the connection works.
//! 5. `deliver` is where a call arrives; it goes on to `batch` (one request for all items) or
//!    `single` (one request each).
//! 6. `answer` turns what the shop says into outcomes. Most of a connector's worth is in such a
//!    file.
//!
//! The tests beside it run natively: a scripted channel stands for the host and the shop.

#![expect(
    clippy::result_large_err,
    reason = "the contract's errors are records by value; a call makes one at most"
)]

mod answer;
mod batch;
mod check;
mod deliver;
mod describe;
mod session;
mod settings;
mod single;
#[cfg(test)]
mod tests;

use egression_sdk::{
    Call, CallError, Connector, Description, Findings, Item, ItemOutcome, Session, export_connector,
};

/// The connector. A type without state: an instance may be new for every call.
pub struct Sandbox;

impl Connector for Sandbox {
    fn describe() -> Description {
        describe::describe()
    }

    fn authenticate(call: &Call<'_>, _previous: Option<&Session>) -> Result<Session, CallError> {
        session::authenticate(call)
    }

    fn check(call: &Call<'_>) -> Result<Findings, CallError> {
        check::check(call)
    }

    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        deliver::deliver(call, items)
    }
}

export_connector!(Sandbox);
