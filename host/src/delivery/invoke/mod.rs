//! The guest's call: its slot, its session, its abilities, and what came back, redacted.

pub mod call_log;
pub mod connection_abilities;
pub mod invoker;
pub mod probe;
pub mod redact_outcome;
pub mod session;
pub mod slot_quota;
