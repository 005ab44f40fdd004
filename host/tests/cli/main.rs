//! The real binary against a small fake of the REST contract: its output, requests and exit codes.

#![allow(clippy::unwrap_used)]

mod binary;
mod connectors;
mod fake;
mod files;
mod refusals;
mod sandbox;
mod submission;
mod watching;
