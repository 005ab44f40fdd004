//! The documents that an operator writes: subscriptions, sources, channels, connections.
//!
//! A document has the same shape in TOML and JSON. [`validate`] finds its problems.
//! [`configuration`] keeps the documents (in the store, their secrets in the vault) and publishes
//! those in force as a [`catalogue::Catalogue`]. The other modules read the catalogue and decide
//! what a document means for a job.

pub mod audience;
pub mod catalogue;
pub mod configuration;
pub mod credential;
pub mod invalid_settings;
pub mod limits;
pub mod model;
pub mod secret;
pub mod structs_from_objects;
pub(crate) mod toml_position;
pub mod validate;
