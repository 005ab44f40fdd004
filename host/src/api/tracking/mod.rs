//! Status, lists and history of executions, jobs, objects and limits.

pub mod ends_by;
pub mod execution_tag;
pub mod execution_view;
pub mod executions;
pub mod find;
pub mod job_view;
pub mod jobs;
pub mod limits;
pub mod long_poll;
pub mod objects;
