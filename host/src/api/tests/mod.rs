//! The router end to end, on a real store and real documents.
#![allow(clippy::unwrap_used)]

mod apply;
mod audiences;
mod connectors;
mod documents;
mod follow;
mod harness;
mod health;
mod idempotency;
mod keys;
mod limits;
mod openapi;
mod problems;
mod reopen_limit;
mod sizes;
mod submit_bulk;
mod submit_single;
mod tenant_rights;
