//! The guest's call: its slot, its session, its abilities, and what came back, redacted.

pub mod call_log;
mod connection_abilities;
mod guest_call;
pub mod invocation;
pub mod invoker;
pub mod probe;
mod redact_outcome;
pub mod session;
pub mod slot_quota;
