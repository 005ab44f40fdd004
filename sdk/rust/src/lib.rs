//! Write Egression output connectors in Rust.
//!
//! A connector implements [`Connector`] and calls `export_connector!(Type)`. Built for
//! `wasm32-wasip2`, it is a component that an Egression host loads. It depends on this crate only,
//! and its author writes no WIT. A connector reaches the outside through its [`Call`]. In the
//! sandbox, a call uses the host's imports; in native unit tests, it uses a [`ScriptedChannel`].
//!
//! `wit/README.md` in the repository documents the contract (outcomes, errors, the life of a call).
//! This crate uses the same names.

#![warn(missing_docs)]
#![expect(
    clippy::result_large_err,
    reason = "the contract's errors are records by value; a call creates at most one"
)]

#[doc(hidden)]
pub mod bindings;
mod call;
mod channel;
mod connector;
mod credential;
mod description;
mod export;
#[cfg(target_arch = "wasm32")]
mod host_channel;
mod item;
mod judgement;
mod outcome;
mod problem;
mod reconciliation;
mod request;
mod response;
mod retry_after;
#[cfg(not(target_arch = "wasm32"))]
mod scripted;
mod session;
mod settings_migration;
mod settlement;

pub use bindings::egression::connector::credentials::{
    Algorithm, CredentialError, Encoding, SignRequest,
};
pub use bindings::egression::connector::http::{BodyPlaceholders, HttpError, Payload, Response};
pub use bindings::egression::connector::log::Level;
pub use bindings::egression::connector::manifest::{
    AuthScheme, BodyFormat, Bucket, BucketKind, Description, HostNeed, ReferencePointer,
    TokenBucket, TypeSupport, Window, WriteMode,
};
pub use bindings::egression::connector::model::{
    Acceptance, Action, Attr, CallError, Connection, Delivery, Findings, Item, ItemOutcome,
    ObjectKey, Outcome, Problem, Remote, ResolvedReference, Retry, Session, Throttle,
};
pub use call::Call;
pub use channel::Channel;
pub use connector::Connector;
pub use judgement::{
    call_error_from_http, call_error_from_status, outcome_from_http, outcome_from_status,
};
pub use reconciliation::Reconciliation;
pub use request::{Request, path_segment};
#[cfg(not(target_arch = "wasm32"))]
pub use scripted::{Deposit, Expected, LogLine, Observation, Reply, ScriptedChannel};
pub use settings_migration::SettingsMigration;
pub use settlement::{Pending, Settlement, Verdict};

#[doc(hidden)]
pub mod __private {
    //! Items for the export macros. Not part of the public interface.
    pub use crate::bindings;
    pub use crate::export::Exported;
    pub use crate::reconciliation::bindings as reconciliation_bindings;
    pub use crate::settings_migration::bindings as settings_migration_bindings;
    pub use crate::settlement::bindings as settlement_bindings;
}

#[cfg(test)]
mod tests {
    /// The README's connector is the example, which the build compiles.
    #[test]
    fn readme_shows_the_example() {
        let readme = include_str!("../README.md");
        assert!(readme.contains(include_str!("../examples/minimal.rs")));
    }
}
