//! Style rules as checks. Each file holds the checks of one subject, and a test that shows that
//! they can fail.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test, not a library")]

mod bans;
mod circles;
mod code;
mod columns;
mod file_names;
mod folder_sizes;
mod imports;
mod layers;
mod promises;
mod released_wit;
mod snapshots;
mod test_names;
mod tree;
mod words;
