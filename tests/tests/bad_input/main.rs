//! Bad input: invalid requests, unknown names, invalid components, hostile connectors and schemas,
//! denied addresses, and a second host on the same data directory. One file per kind.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test, not a library")]

mod connector_hosts;
mod cut_off_bodies;
mod denied_addresses;
mod excessive_calls;
mod expensive_components;
mod hostile_connectors;
mod hostile_schemas;
mod invalid_components;
mod invalid_requests;
mod name_server;
mod second_host;
mod unknown_names;
