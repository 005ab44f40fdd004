//! The limits of a destination as pure state machines: token bucket, sliding and fixed window,
//! concurrency, minimum interval. The first three count requests or their costs.
//!
//! Requests that [`LimitBook`] admits keep every limit as the destination counts it, even if each
//! request arrives up to the guard's edge after it was acquired. For windows, and for buckets with
//! a burst for all requests in flight, this also holds up to the guard's reach. Several limits
//! apply at once and all must admit.
//!
//! Each kind needs another guard. The edge is the longest network delay that is assumed; an
//! answer shows that its request was faster.
//!
//! - A token bucket breaks if requests of different seconds arrive together. It uses 98 % of the
//!   rate, and the burst less what comes in an edge and what is in flight. If the burst is too
//!   small for that, each token waits until the last request has arrived.
//! - A window breaks if a request arrives in a later window than it left in. A request counts from
//!   its answer on. The window is a hundredth longer, by the edge at most.
//! - A fixed window breaks in the same way, but only at the instants between two windows. A request
//!   counts in each window that it may arrive in, and an edge around it.
//! - Concurrency needs no guard: a slot is in use until the answer.
//! - A minimum interval breaks if a late request arrives just before the next one. The interval
//!   begins when the last request has arrived: at its answer, or an edge after it left.
//!
//!
//! State is kept in integers, so nothing drifts over days. A `now` that is earlier than a previous
//! one counts as the previous one: a clock that steps back opens nothing.
//!
//! Others do the waiting, keep fairness among waiting requests, store windows and closures, and
//! provide the clock.

mod all_or_none;
mod book;
#[cfg(test)]
mod book_tests;
mod concurrency;
mod fixed_window;
mod in_flight;
mod kind;
mod last_request;
mod limit;
mod min_interval;
mod observation;
mod rolling_max;
mod round_trips;
mod sliding_window;
#[cfg(test)]
mod strict_tests;
#[cfg(test)]
mod tests;
mod token_bucket;
mod usage_meter;

pub use all_or_none::{Acquisition, Headroom, Refusal};
pub use book::LimitBook;
pub use kind::{Charge, Guard, LimitKey, LimitKind};
pub use usage_meter::{MIN_JUDGED_REQUESTS, UsageMeter};
