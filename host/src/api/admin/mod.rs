//! Configuration: documents, connectors and API keys.

pub mod apply;
pub mod channels;
pub mod connection_check;
pub mod connections;
pub mod connectors;
pub mod documents;
pub mod first_key;
pub mod keys;
pub mod sources;
pub mod subscriptions;
