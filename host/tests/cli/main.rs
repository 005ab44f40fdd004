//! The real binary against a small fake of the REST contract: what it prints, what it asks for, how
//! it exits.

#![allow(clippy::unwrap_used)]

mod binary;
mod connectors;
mod fake;
mod files;
mod following;
mod refusals;
mod sandbox;
mod submission;
