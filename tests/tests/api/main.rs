//! The REST contract from a client's side: what is answered, when, and in which shape. One file a
//! promise.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test, not a library")]

mod acting;
mod bounds;
mod conditions;
mod expiry;
mod idempotency;
mod keys;
mod lists;
mod openapi;
mod preferences;
mod problems;
mod stopping;
mod trace;
mod views;
