//! After the call: each item is judged and becomes a settlement.

pub mod auth_failures;
pub mod call_review;
pub mod events;
pub mod final_state;
pub mod host_limits;
