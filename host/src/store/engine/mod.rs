//! The database itself: connections, the one writer, and the start.

pub mod connect;
pub mod directory_lock;
pub mod identity;
pub mod joined;
mod open;
pub mod predicates;
pub mod readers;
pub mod recovery;
mod single_statement;
pub mod sqlite;
pub mod statement;
pub mod store;
pub mod write_ahead_log;
pub mod writer;
