//! Everything that leaves the host.

pub mod exchange;
