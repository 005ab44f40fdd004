//! How executions come in: staged unseen, then sealed as a whole, or abandoned.

pub mod abandon;
pub mod idempotency_keys;
pub mod staging;
pub mod submit;
