//! The limits of a destination as pure state machines: token bucket, sliding and fixed window,
//! concurrency, minimum interval. The first three count requests or their costs.
//!
//! Requests that [`LimitBook`] admits keep every limit as the destination counts it, even if each
//! request arrives up to the guard's edge after it was acquired ([`Guard::covers`] tells for which
//! buckets). This also holds for requests that travel for the guard's reach, unless more of them
//! are in flight than a bucket's burst holds. Several limits apply at once and all must admit.
//! State is kept in integers, so nothing drifts over days. A `now` that is earlier than a previous
//! one counts as the previous one: a clock that steps back opens nothing.
//!
//! Others do the waiting, keep fairness among waiting requests, store windows and closures, and
//! provide the clock.

mod acquire;
mod book;
#[cfg(test)]
mod book_tests;
mod concurrency;
mod fixed_window;
mod in_flight;
mod kind;
mod limit;
mod min_interval;
mod observation;
mod rolling_max;
mod sliding_window;
#[cfg(test)]
mod tests;
mod token_bucket;
mod usage_meter;

pub use acquire::{Acquisition, Headroom, Refusal};
pub use book::LimitBook;
pub use kind::{Charge, Guard, LimitKey, LimitKind};
pub use usage_meter::{MIN_JUDGED_REQUESTS, UsageMeter};
