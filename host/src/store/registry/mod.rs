//! Documents, connectors, keys, secrets, and limits as facts.

pub mod api_keys;
pub mod connectors;
pub mod documents;
pub mod limits;
pub mod secrets;
