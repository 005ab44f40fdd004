//! Before the intent: which jobs still go, with which bytes, and what they must wait for.

pub mod body_schema;
pub mod job_ids;
pub mod preparer;
pub mod reconcile;
pub mod references;
