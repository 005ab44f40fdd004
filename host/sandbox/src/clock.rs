//! The shop's clock: the only place that reads the time.
//!
//! Stamps come from the monotonic clock, so that changes of the wall clock do not affect limits.
//! The clock also keeps the wall-clock time of its start, to print stamps as wall-clock times.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// An instant, in microseconds since the shop's clock started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// The instant `us` microseconds after the clock's start.
    #[cfg(test)]
    pub(crate) const fn from_us(us: u64) -> Self {
        Self(us)
    }

    /// The instant `us` microseconds later.
    pub(crate) const fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }

    /// Microseconds since `earlier`, or 0 if `earlier` is later.
    pub(crate) const fn us_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A monotonic clock that knows the wall-clock time of its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_unix_us: u64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub(crate) fn start() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            started: Instant::now(),
            started_unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn now(&self) -> Stamp {
        let elapsed = self.started.elapsed().as_micros();
        Stamp(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// `at` in microseconds since the Unix epoch.
    pub(crate) const fn unix_us(&self, at: Stamp) -> u64 {
        self.started_unix_us.saturating_add(at.0)
    }
}
