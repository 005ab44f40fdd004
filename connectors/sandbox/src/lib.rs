//! The tutorial connector: delivers categories, brands, products and offers to the sandbox shop.
//!
//! Read it in this order:
//!
//! 1. `describe` describes the connector. It runs without network.
//! 2. `settings` contains the settings of a connection, which an operator enters.
//! 3. `session` logs in without seeing the secret.
//! 4. `check` checks whether the connection works.
//! 5. `deliver` is the entry point of a call. It continues in `batch` (one request for all items)
//!    or `single` (one request per item).
//! 6. `answer` judges the shop's answers. In most connectors, this is the most valuable file.
//!
//! The tests run natively. A scripted channel replaces the host and the shop.

#![expect(
    clippy::result_large_err,
    reason = "the contract's errors are records by value; a call creates at most one"
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

/// The connector. It has no state, because each call may get a new instance.
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
