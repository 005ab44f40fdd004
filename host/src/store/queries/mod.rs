//! Executions, jobs and objects, as people ask for them.

pub mod executions;
pub mod jobs;
pub mod objects;
