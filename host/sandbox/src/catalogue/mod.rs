//! The objects of the shop: how a write is read and checked, how it is applied, and the log of all
//! writes.

mod attempt;
mod body;
mod idempotency;
mod objects;
mod store;
mod write_log;

pub(crate) use attempt::{Action, Attempt};
pub(crate) use store::{Answer, Store};
