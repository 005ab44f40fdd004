//! What an operator writes: the server's bounds and the documents (subscriptions, sources,
//! channels, connections).
//!
//! The documents have one shape in TOML and JSON. Their way: [`mod@file`] reads them, [`validate`]
//! says what is wrong with them, [`configuration`] keeps them (through the store, secrets through a
//! [`secrets::SecretSink`]) and publishes what is in force as a [`catalogue::Catalogue`]. What the
//! documents mean for a job is left to those who read the catalogue.

pub mod catalogue;
pub mod configuration;
pub mod credential;
pub mod documents;
pub mod file;
pub mod limits;
pub(crate) mod position;
pub mod reference;
pub mod secret;
pub mod secrets;
pub mod server;
mod server_bounds;
pub mod settings_check;
pub mod shape;
pub mod shelf;
pub mod validate;
