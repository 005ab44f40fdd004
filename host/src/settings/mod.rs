//! The server's settings: the `[server]` table, the bounds of its numbers, the configuration file,
//! and the generated reference of that file.
//!
//! The documents in the same file belong to [`crate::documents`].

pub mod bounds;
pub mod file;
pub mod reference;
pub mod server;
