//! Delivery to a destination: retries, lost answers, refusals, limits and faults.

mod auth_failures;
mod capacity;
mod faults;
mod limit_closures;
mod limit_use;
mod limits;
mod lost_answers;
mod retries;
mod sources;
