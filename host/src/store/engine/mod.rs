//! The database itself: connections, the one writer, and the start.

pub(in crate::store) mod connect;
pub(in crate::store) mod directory_lock;
mod open;
pub(in crate::store) mod recovery;
pub(in crate::store) mod statement;
pub(in crate::store) mod store;
pub(in crate::store) mod writer;
