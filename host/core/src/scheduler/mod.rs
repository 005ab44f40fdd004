//! Who runs next: one admission decision over partition, object, belt, limits, fairness, pause and
//! circuit.
//!
//! [`Scheduler`] is a state machine. The host tells it what happened (an execution was sealed, a
//! page of jobs was read, a call ended), asks [`Scheduler::next`] for calls to start, and does what
//! [`Scheduler::needs`] lists. Only heads of partition keys are held in memory, and of those only a
//! bounded window; everything else stays in the store.

mod admission;
mod belts;
mod connection;
mod head;
mod lane;
pub mod limits;
mod needs;
mod read_queue;
mod ready;
mod reports;
mod scheduler;
mod status;
#[cfg(test)]
mod tests;
mod turns;
mod window;

pub use connection::{Availability, ConnectionRules, PackingRule};
pub use head::{Head, LaneKey};
pub use needs::Need;
pub use scheduler::{AfterCall, Claim, Scheduler, SchedulerBounds};
pub use status::{Blocked, LaneStatus};

use crate::domain::ids::ConnectionId;
use crate::time::Mono;

/// What the limits of a connection leave, as the gate sees it.
pub trait LimitForecast {
    /// Requests that could be drawn soon and are not reserved yet; with the limit and the instant
    /// to wait for if there are none.
    fn headroom(&self, connection: ConnectionId, now: Mono) -> (u32, Option<(String, Mono)>);
}
