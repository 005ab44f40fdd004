//! After the call: each item is judged and becomes a settlement.

pub mod auth_failures;
mod blocked_on;
pub mod call_review;
mod connection_effect;
mod credential_checks;
pub mod final_state;
pub mod history_events;
mod history_excerpt;
mod host_limits;
pub mod limit_closures;
mod next_send;
pub mod reviewer;
pub mod settlement_builder;
pub mod settler;
