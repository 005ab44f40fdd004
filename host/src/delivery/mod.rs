//! One call from claim to settlement: prepare, open intents, invoke, judge, settle.
//!
//! A delivery owns its jobs from the claim on and answers with what became of each. The store has
//! the last word: a job that was cancelled in the meantime drops out at the intent, and an outcome
//! is retried until the store takes it.

mod crash_recovery;
mod deliver;
mod invoke;
mod prepare;
mod retry_until_stored;
mod settle;
mod work;

pub use deliver::{Deliverer, Effect, Finished};
pub use invoke::probe::Probe;
