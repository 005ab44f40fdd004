//! The documents that an operator writes: subscriptions, sources, channels, connections.
//!
//! They have one shape in TOML and JSON. [`validate`] says what is wrong with them,
//! [`configuration`] keeps them (through the store, secrets through a [`secrets::SecretSink`]) and
//! publishes what is in force as a [`catalogue::Catalogue`]. What the documents mean for a job is
//! left to those who read the catalogue.

pub mod catalogue;
pub mod configuration;
pub mod credential;
pub mod invalid_settings;
pub mod limits;
pub mod model;
pub mod secret;
pub mod secrets;
pub mod shape;
pub mod shelf;
pub(crate) mod toml_position;
pub mod validate;
