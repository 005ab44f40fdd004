//! Configuration: documents, connectors and API keys.

pub mod apply;
pub mod channels;
pub mod connection_check;
pub mod connections;
pub mod connectors;
pub mod document_view;
pub mod documents;
pub mod first_key;
pub mod keys;
pub mod offline_key;
pub mod resource;
pub mod sources;
pub mod subscriptions;
pub mod tenant_rights;
