//! The types and functions that `wit-bindgen` generates from `wit/v0.1`.
//!
//! The rest of the crate re-exports the types and adds constructors to them. Connectors do not need
//! this module.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from WIT, which has the documentation"
)]

wit_bindgen::generate!({
    path: "../../wit/v0.1",
    world: "output-connector",
    pub_export_macro: true,
    export_macro_name: "export_connector_functions",
    default_bindings_module: "egression_sdk::__private::bindings",
    additional_derives: [PartialEq],
});
