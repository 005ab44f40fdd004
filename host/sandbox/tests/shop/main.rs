//! The sandbox shop over real HTTP: every behavior that its surface promises.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod auth;
mod batch;
mod client;
mod control;
mod faults;
mod limits;
mod single;
