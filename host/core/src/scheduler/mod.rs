//! Who runs next: one admission decision over partition, object, belt, limits, fairness, pause and
//! circuit.
//!
//! [`Scheduler`] is a state machine. The host tells it what happened (an execution was sealed, a
//! page of jobs was read, a call ended), asks [`Scheduler::next`] for calls to start, and does what
//! [`Scheduler::needs`] lists. Only heads of partition keys are held in memory, and of those only a
//! bounded window; everything else stays in the store.

mod admission;
mod availability;
mod belts;
mod bounds;
mod claim;
mod connection;
mod connections;
mod execution;
mod head;
mod limit_forecast;
pub mod limits;
mod memory;
mod needs;
mod packing;
mod reports;
mod rules;
#[expect(
    clippy::module_inception,
    reason = "the file of the type that the folder is named after"
)]
mod scheduler;
mod status;
#[cfg(test)]
mod tests;
mod turns;

pub use availability::{Availability, Blocked};
pub use bounds::SchedulerBounds;
pub use claim::{AfterCall, Claim};
pub use head::{Head, LaneKey};
pub use limit_forecast::LimitForecast;
pub use needs::Need;
pub use rules::{ConnectionRules, PackingRule};
pub use scheduler::Scheduler;
pub use status::{HeldJobs, LaneStatus};
