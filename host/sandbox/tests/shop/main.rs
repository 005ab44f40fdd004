//! The sandbox shop over real HTTP: every behaviour that its surface promises.
#![allow(clippy::unwrap_used, reason = "a test may end with a panic")]

mod auth;
mod batch;
mod control;
mod counter;
mod faults;
mod limits;
mod single;
