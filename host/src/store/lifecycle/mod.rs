//! A job in the store from its claim to its removal.
//!
//! A job changes in one way: `transition` loads it, moves it by the core's state machine, and
//! writes it; `counters` follows each change in the same transaction. The events that move a job
//! are intents (`intents`), results of attempts (`settlement`, which leads to `waits` or `ending`),
//! times (`due_jobs`), cancels (`cancel`), and blocked keys (`blocked_keys`).

pub mod blocked_keys;
pub mod cancel;
pub mod claim;
pub mod counters;
pub mod due_jobs;
pub mod ending;
pub mod error_groups;
pub mod id_map;
pub mod intents;
pub mod job_history;
pub mod open_executions;
pub mod pause;
pub mod retention;
pub mod settlement;
pub mod transition;
pub mod waits;
