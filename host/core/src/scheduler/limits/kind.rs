//! What a limit is: its name, its kind, and the guard that keeps the host on the safe side of it.

use std::fmt;
use std::sync::Arc;

use crate::time::Wall;

/// The name of one limit in the [`LimitBook`](super::LimitBook). Requests that share a limit use
/// the same key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(pub Arc<str>);

impl LimitKey {
    /// A key of this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// At most `rate · w / per_ms + burst` in any `w` milliseconds.
    TokenBucket {
        /// Requests, or their costs, per `per_ms`; 0: none ever.
        rate: u32,
        /// The length of time for `rate`, in milliseconds; 0 counts as 1.
        per_ms: u64,
        /// As many at once after a pause; 0 counts as 1.
        burst: u32,
    },
    /// At most `max` in any `window_ms`, wherever it begins.
    Window {
        /// Requests, or their costs; 0: none ever.
        max: u32,
        /// The window's length in milliseconds.
        window_ms: u64,
    },
    /// At most `max` in each of the windows that follow one another.
    FixedWindow {
        /// Requests, or their costs; 0: none ever.
        max: u32,
        /// The length of each window in milliseconds; 0 counts as 1.
        window_ms: u64,
        /// An instant at which one of them begins.
        anchor: Wall,
    },
    /// At most `max` requests that are not answered yet.
    Concurrency {
        /// Requests; 0: none ever.
        max: u32,
    },
    /// At least `interval_ms` between two requests.
    MinInterval { interval_ms: u64 },
}

impl LimitKind {
    /// Whether it counts uses in a window of time. These must survive a restart.
    pub const fn is_window(&self) -> bool {
        matches!(self, Self::Window { .. } | Self::FixedWindow { .. })
    }
}

/// The units that a request takes from one limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Charge {
    pub key: LimitKey,
    /// One, or the request's cost; 0 counts as 1. A concurrency limit and a minimum interval count
    /// each request as one, whatever it costs.
    pub units: u32,
}

impl Charge {
    /// One request without a special cost.
    pub const fn one(key: LimitKey) -> Self {
        Self { key, units: 1 }
    }
}

/// How far the host stays away from a limit, because a request arrives later than it was acquired
/// and clocks differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// The share of a token bucket's rate that is not used, from 0 to 0.9.
    pub rate_share: f64,
    /// The longest assumed time in milliseconds between an acquisition and its arrival. Until its
    /// answer shows less, the last request of an interval, or of a bucket without the burst for it,
    /// is assumed to take so long. It reduces a bucket's burst by the requests that arrive in it,
    /// and lengthens a fixed window at both ends, any other by at most a hundredth.
    pub edge_ms: u64,
    /// How long, in milliseconds, a request without an answer may still arrive. Until then it keeps
    /// its place in a bucket's burst, and a window counts it from its answer on.
    pub reach_ms: u64,
}

impl Guard {
    /// No guard: the limit as the destination defines it.
    pub const NONE: Self = Self {
        rate_share: 0.0,
        edge_ms: 0,
        reach_ms: 0,
    };

    pub(super) fn share_ppm(&self) -> u32 {
        const MILLION: f64 = 1_000_000.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=900000; NaN becomes 0"
        )]
        let ppm = (self.rate_share.clamp(0.0, 0.9) * MILLION).round() as u32;
        ppm
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            rate_share: 0.02,
            edge_ms: 50,
            reach_ms: 1000,
        }
    }
}
