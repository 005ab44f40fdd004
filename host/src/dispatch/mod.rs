//! Drives the core's scheduler with the real clock, the store and the limits: reads what it needs,
//! starts the calls it chooses, and reports how they ended.
//!
//! One task makes every decision. Reads and deliveries run in tasks of their own and answer through
//! its channel, so no decision sees half of a change.

mod configure;
mod dispatcher;
mod due_alarm;
mod engine;
mod executions;
mod health;
mod limit_forecast;
mod message;
mod probes;
mod reads;
mod scheduler_rules;
pub mod settings;
mod view;

pub use dispatcher::Dispatcher;
pub use engine::Parts;
#[cfg(test)]
pub use message::Message;
pub use view::{View, WaitingGroup};
