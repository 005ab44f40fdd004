//! The limits of a destination as pure state machines: token bucket, sliding and fixed window,
//! concurrency, minimum interval. The first three count requests or what they cost.
//!
//! Promises: what [`LimitBook`] admits keeps every limit as the destination counts it, even when
//! each request arrives there up to the guard's edge after it was drawn (for which buckets,
//! [`Guard::covers`] says), and even when it travels for the guard's reach, as long as no more are
//! on their way than a bucket's burst holds. Several limits apply at once and all must admit. State
//! is kept in integers, so nothing drifts over days. A `now` that is earlier than one seen before
//! counts as that one: a clock that steps back opens nothing.
//!
//! Left to others: waiting, fairness among those who wait, durable windows and closures, and the
//! clock itself.

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

pub use acquire::{Acquired, Headroom, Refusal};
pub use book::LimitBook;
pub use kind::{Charge, Guard, LimitKey, LimitKind};
pub use usage_meter::{MIN_JUDGED_REQUESTS, UsageMeter};
