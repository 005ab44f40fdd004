//! Limits at the moment of sending: who may send now, who waits, and what a restart must know.

pub(super) mod acquire;
pub(super) mod budget;
#[expect(
    clippy::module_inception,
    reason = "the file named after the folder's concept holds it"
)]
pub(super) mod limiter;
mod timer;
pub(super) mod usage;
mod waiters;
mod window_leases;
