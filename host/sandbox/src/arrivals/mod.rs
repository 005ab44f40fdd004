//! Calls as they arrive: which are admitted, which limits they break, which faults they get, and
//! the log of all of them.

mod admission;
mod call_log;
mod faults;
mod limits;

pub(crate) use admission::{Arrival, Arrivals, Ended};
pub(crate) use call_log::CallEnd;
pub(crate) use faults::FaultDecision;
