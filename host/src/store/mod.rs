//! All SQL: the only place that knows the database. SQLite so far; `docs/decisions/` 10 says how
//! PostgreSQL will come in.
//!
//! Writes go through one writer that groups them into transactions (`BEGIN IMMEDIATE`,
//! `synchronous=FULL`) and answers after the commit. Reads use short-lived reader connections.
//! Database work runs in its own tasks: dropping a caller's future never cancels a statement.

mod dependencies;
mod engine;
mod error;
mod lifecycle;
mod options;
mod order;
mod queries;
mod registry;
pub mod rows;
mod submission;
#[cfg(test)]
mod tests;

pub use engine::store::Store;
pub use error::StoreError;
pub use lifecycle::events::FIRST_KEPT;
pub use options::StoreOptions;
pub use registry::{api_keys, connectors, documents};
