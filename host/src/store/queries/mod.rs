//! What people ask for.

pub mod executions;
pub mod jobs;
