//! A connector that misbehaves according to its settings, for tests of the host.
//!
//! The setting `behave` controls `deliver`, `recall` controls `reconcile`, `check` controls
//! `check`, and `login` controls `authenticate`. The README lists the behaviors.

#![expect(
    clippy::result_large_err,
    reason = "the contract's errors are records by value; a call creates at most one"
)]

mod attack;
mod behavior;
mod check;
mod deliver;
mod login;
mod recall;

use egression_sdk::{
    Action, BodyFormat, Call, CallError, Connector, Description, Findings, Item, ItemOutcome,
    Reconciliation, Session, TypeSupport, export_connector,
};
use serde_json::json;

/// The secret that `tell` deposits and tells.
pub(crate) const TOLD: &str = "t0ld-S3cret-of-the-guest";

pub struct Hostile;

impl Connector for Hostile {
    fn describe() -> Description {
        let any_body = || BodyFormat::JsonSchema("true".to_owned());
        let actions = [Action::Upsert, Action::Delete];
        Description::new("hostile", env!("CARGO_PKG_VERSION"), "Hostile test guest")
            .object_type(
                TypeSupport::new("product", &actions, any_body())
                    .idempotent(&actions)
                    .batch(10, 1024 * 1024)
                    .example(&json!({})),
            )
            .object_type(
                TypeSupport::new("notice", &[Action::Create], any_body())
                    .batch(10, 1024 * 1024)
                    .example(&json!({})),
            )
            .auth("none", &[])
            .auth("bearer", &[])
            .auth("connector", &[])
            .settings(&behavior::settings_schema())
            .host_of_setting("target_url")
            .host("needed.example")
            .host("*.needed.example")
    }

    fn authenticate(call: &Call<'_>, _: Option<&Session>) -> Result<Session, CallError> {
        login::authenticate(call)
    }

    fn check(call: &Call<'_>) -> Result<Findings, CallError> {
        check::check(call)
    }

    fn deliver(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        deliver::deliver(call, items)
    }
}

impl Reconciliation for Hostile {
    fn reconcile(call: &Call<'_>, items: &[Item]) -> Result<Vec<ItemOutcome>, CallError> {
        recall::reconcile(call, items)
    }
}

export_connector!(Hostile, reconciliation);
