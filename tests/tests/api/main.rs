//! The REST contract as a client sees it: one file per promise.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test, not a library")]

mod api_keys;
mod cancel_and_pause;
mod concurrency_bounds;
mod entity_tags;
mod idempotency;
mod large_bulks;
mod lists;
mod openapi;
mod prefer;
mod problems;
mod retention;
mod shutdown;
mod tenants;
mod trace_context;
mod views;
