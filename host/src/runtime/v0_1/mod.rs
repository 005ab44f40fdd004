//! The border to connectors of contract 0.1. The generated code stays inside this folder; beyond it
//! there are only the host's own types.
//!
//! - `imports`: what a guest may call, answered by the call's abilities.
//! - `exports`: what the host calls.
//! - `incoming`, `outgoing`, `manifest`: from the guest's records to ours, and back.

mod exports;
mod imports;
mod incoming;
mod manifest;
mod outgoing;

pub(super) use exports::{Answered, Contract, Guest};
pub(super) use imports::add_to_linker;

/// The contract's version as descriptions say it.
pub(super) const CONTRACT: &str = "0.1";
/// The interface that makes a component a connector.
pub(super) const CONNECTOR: &str = "egression:connector/connector@0.1.0";
/// The package and version of the interfaces that a guest may import.
pub(super) const PACKAGE: &str = "egression:connector/";
/// Features of the contract that a connector may rely on by name: none in 0.1.
pub(super) const FEATURES: &[&str] = &[];

/// What `wasmtime` generates from the contract.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from the contract, which documents itself"
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
