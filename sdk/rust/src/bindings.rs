//! The contract's types and functions as `wit-bindgen` makes them from `wit/v0.1`.
//!
//! The rest of the crate re-exports the types under their names and adds constructors to them;
//! nobody else needs this module.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from WIT, where the documentation is"
)]

wit_bindgen::generate!({
    path: "../../wit/v0.1",
    world: "output-connector",
    pub_export_macro: true,
    export_macro_name: "export_connector_functions",
    default_bindings_module: "egression_sdk::__private::bindings",
    additional_derives: [PartialEq],
});
