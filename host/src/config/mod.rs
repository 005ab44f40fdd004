//! What an operator writes: the server's bounds and the documents (subscriptions, sources, channels, connections).
//!
//! The documents have one shape in TOML and JSON. Loading and validation live here; keeping them is the store's duty.

pub mod documents;
pub mod limits;
pub mod secret;
