//! The database itself: connections, the one writer, and the start.

pub mod connect;
pub mod directory_lock;
mod open;
pub mod predicates;
pub mod recovery;
pub mod statement;
pub mod store;
pub mod writer;
