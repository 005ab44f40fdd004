//! Style rules as checks: layers, file sizes, file names, snapshots and released contract versions.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test, not a library")]

mod file_names;
mod layers;
mod released_wit;
mod snapshots;
mod tree;
