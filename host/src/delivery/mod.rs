//! One call from claim to settlement: prepare, open intents, invoke, judge, settle.
//!
//! A delivery owns its jobs from the claim on and answers with what became of each. The store has
//! the last word: a job that was canceled in the meantime drops out at the intent, and an outcome
//! is retried until the store takes it.

mod crash_recovery;
mod deliver;
mod finished;
mod invoke;
mod job_store;
mod job_with_bytes;
mod prepare;
mod retry_until_stored;
mod route;
mod settle;

pub use deliver::{Deliverer, DeliveryParts};
pub use finished::{Effect, Finished};
pub use invoke::probe::Probe;
