//! Before the intent: which jobs still go, with which bytes, and what they must wait for.

mod bodies;
pub mod body_checks;
mod body_schema;
mod eligibility;
mod job_ids;
mod parents;
mod pinned_bytes;
pub mod preparer;
mod reconcile;
mod references;
