//! The product from end to end: the real binary, the sandboxed connector, the sandbox shop and a
//! Metadata API on loopback.
//!
//! Each test has a host, a shop and a source of its own. What is asserted is what users see: REST,
//! and the shop's own log. Waiting is always for the host's word, a long poll, and bounded by
//! [`rig::PATIENCE`].
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "tests, not a library"
)]

mod access;
mod belts;
mod catalogue;
mod fairness;
mod faults;
mod keeper;
mod limits;
mod lost;
mod metrics;
mod order;
mod pace;
mod parents;
mod refusals;
mod restart;
mod retry;
mod rig;
mod room;
mod settings;
mod source;
mod storage;
mod timing;
mod tour;
mod wayward;
