//! The border to connectors of contract 0.1. The generated code stays in this folder; the rest of
//! the host uses its own types.
//!
//! - `imports`: functions that the guest calls, answered by the call's abilities.
//! - `exports`: functions that the host calls.
//! - `incoming`, `manifest`: conversions from the guest's records to the host's types.
//! - `outgoing`: conversions from the host's types to the guest's records.

mod exports;
mod imports;
mod incoming;
mod manifest;
mod outgoing;

pub(super) use exports::{Answered, Contract, Guest};
pub(super) use imports::add_to_linker;

/// The contract's version in descriptions.
pub(super) const CONTRACT: &str = "0.1";
/// The interface that makes a component a connector.
pub(super) const CONNECTOR: &str = "egression:connector/connector@0.1.0";
/// The package and version of the interfaces that a guest may import.
pub(super) const PACKAGE: &str = "egression:connector/";
/// The contract's named features: none in 0.1.
pub(super) const FEATURES: &[&str] = &[];

/// The code that `wasmtime` generates from the contract.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from the contract, which has its own documentation"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit/v0.1",
        world: "egression:connector/output-connector-full",
        imports: {
            "egression:connector/log.emit": trappable,
            "egression:connector/settle.report": trappable,
            default: async | trappable,
        },
        exports: { default: async },
    });
}
