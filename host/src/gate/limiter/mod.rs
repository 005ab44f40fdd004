//! Limits at the moment of sending: who may send now, who waits, and what a restart must know.

pub(super) mod acquire;
pub(super) mod budget;
pub(super) mod limit_report;
pub(super) mod limiter;
pub(super) mod reservations;
mod timer;
pub(super) mod usage;
mod waiters;
mod window_leases;
