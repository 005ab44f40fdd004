//! The product from end to end: the real binary, the sandboxed connector, the sandbox shop and a
//! Metadata API on loopback.
//!
//! Each test has its own host, shop and source. Tests assert what users see: REST and the shop's
//! log. They wait for the host with long polls, at most [`harness::PATIENCE`].
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs,
    reason = "tests, not a library"
)]

mod delivery;
mod harness;
mod operations;
mod order;
