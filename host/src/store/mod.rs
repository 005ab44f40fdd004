//! The store: the only folder with SQL. `docs/decisions/` 10 describes how PostgreSQL will join
//! SQLite.
//!
//! One writer groups changes into transactions (`BEGIN IMMEDIATE`, `synchronous=FULL`) and answers
//! after the commit; intents and settlements that meet are one change. The writer has a thread of
//! its own, and reads use short-lived reader connections on threads for blocking work: dropping a
//! caller's future never cancels a statement.
//!
//! - `engine`: opening, the writer, connections, recovery
//! - `submission`: executions come in, staged and sealed
//! - `order`: heads of keys, lanes, queue positions
//! - `lifecycle`: a job from its claim to its removal
//! - `dependencies`: jobs that wait for objects of other jobs
//! - `queries`: what the API shows
//! - `registry`: documents, connectors, keys, secrets, facts about limits
//! - `rows`: the data that goes in and comes out

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
pub use lifecycle::job_history::FIRST_KEPT;
pub use options::StoreOptions;
pub use registry::{api_keys, connectors, documents};
