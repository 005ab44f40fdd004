//! A limit of any kind.

use super::concurrency::Concurrency;
use super::fixed_window::FixedWindow;
use super::kind::{Guard, LimitKind};
use super::min_interval::MinInterval;
use super::observation::exhausted_until;
use super::sliding_window::SlidingWindow;
use super::token_bucket::TokenBucket;
use crate::time::{Mono, WallOffset};

/// A limit and its state.
#[derive(Clone, Debug)]
pub(super) enum Limit {
    Bucket(TokenBucket),
    Window(SlidingWindow),
    Fixed(FixedWindow),
    Concurrency(Concurrency),
    MinInterval(MinInterval),
}

impl Limit {
    pub(super) fn new(kind: LimitKind, guard: Guard, now: Mono, offset: WallOffset) -> Self {
        match kind {
            LimitKind::TokenBucket {
                rate,
                per_ms,
                burst,
            } => Self::Bucket(TokenBucket::empty(rate, per_ms, burst, guard, now)),
            LimitKind::Window { max, window_ms } => {
                Self::Window(SlidingWindow::new(max, window_ms, guard))
            }
            LimitKind::FixedWindow {
                max,
                window_ms,
                anchor,
            } => Self::Fixed(FixedWindow::new(max, window_ms, anchor, guard, offset)),
            LimitKind::Concurrency { max } => Self::Concurrency(Concurrency::new(max)),
            LimitKind::MinInterval { interval_ms } => {
                Self::MinInterval(MinInterval::just_used(interval_ms, guard, now))
            }
        }
    }

    /// Takes new sizes and keeps the uses, also if a sliding window becomes a fixed one or the
    /// other way round. False: it is another kind, and nothing changed.
    pub(super) fn reshape(
        &mut self,
        kind: LimitKind,
        guard: Guard,
        now: Mono,
        offset: WallOffset,
    ) -> bool {
        match (&mut *self, kind) {
            (
                Self::Window(window),
                LimitKind::FixedWindow {
                    max,
                    window_ms,
                    anchor,
                },
            ) => {
                let mut fixed = FixedWindow::new(max, window_ms, anchor, guard, offset);
                fixed.restore(&window.uses_now(now));
                *self = Self::Fixed(fixed);
            }
            (Self::Fixed(fixed), LimitKind::Window { max, window_ms }) => {
                let mut window = SlidingWindow::new(max, window_ms, guard);
                window.restore(&[(now, fixed.used_now(now))]);
                *self = Self::Window(window);
            }
            (
                Self::Bucket(bucket),
                LimitKind::TokenBucket {
                    rate,
                    per_ms,
                    burst,
                },
            ) => {
                bucket.reshape(rate, per_ms, burst, guard, now);
            }
            (Self::Window(window), LimitKind::Window { max, window_ms }) => {
                window.reshape(max, window_ms, guard)
            }
            (
                Self::Fixed(fixed),
                LimitKind::FixedWindow {
                    max,
                    window_ms,
                    anchor,
                },
            ) => {
                fixed.reshape(max, window_ms, anchor, guard, now);
            }
            (Self::Concurrency(slots), LimitKind::Concurrency { max }) => {
                slots.reshape(max);
            }
            (Self::MinInterval(spacing), LimitKind::MinInterval { interval_ms }) => {
                spacing.reshape(interval_ms, guard)
            }
            _ => return false,
        }
        true
    }

    /// Sets how wall time relates to the monotonic clock.
    pub(super) const fn set_offset(&mut self, offset: WallOffset) {
        if let Self::Fixed(fixed) = self {
            fixed.set_offset(offset);
        }
    }

    /// The most units that one request can ever take.
    pub(super) const fn most(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.most(),
            Self::Window(window) => window.most(),
            Self::Fixed(fixed) => fixed.most(),
            Self::Concurrency(_) | Self::MinInterval(_) => u64::MAX,
        }
    }

    /// The earliest instant, not before `now`, at which a request of `units` could be acquired.
    /// [`Mono::FAR`]: no instant helps.
    pub(super) fn ready(&self, now: Mono, units: u64) -> Mono {
        match self {
            Self::Bucket(bucket) => bucket.ready(now, units),
            Self::Window(window) => window.ready(now, units),
            Self::Fixed(fixed) => fixed.ready(now, units),
            Self::Concurrency(slots) if slots.free() > 0 => now,
            Self::Concurrency(_) => Mono::FAR,
            Self::MinInterval(spacing) => spacing.ready(now),
        }
    }

    /// Acquires one request of `units`.
    pub(super) fn acquire(&mut self, now: Mono, units: u64) {
        match self {
            Self::Bucket(bucket) => bucket.acquire(now, units),
            Self::Window(window) => window.acquire(now, units),
            Self::Fixed(fixed) => fixed.acquire(now, units),
            Self::Concurrency(slots) => {
                slots.acquire(now);
            }
            Self::MinInterval(spacing) => spacing.acquire(now),
        }
    }

    /// The request of `units` that was acquired at `acquired` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono, units: u64) {
        match self {
            Self::Bucket(bucket) => bucket.answered(drawn, now, units),
            Self::Window(window) => window.answered(drawn, now, units),
            Self::Fixed(fixed) => fixed.answered(drawn, now, units),
            Self::Concurrency(slots) => slots.answered(),
            Self::MinInterval(spacing) => spacing.answered(drawn, now),
        }
    }

    /// Forgets what the destination reported about it.
    pub(super) fn reopen(&mut self, now: Mono) {
        match self {
            Self::Bucket(bucket) => bucket.reopen(),
            Self::Window(window) => window.reopen(),
            Self::Fixed(fixed) => fixed.reopen(now),
            Self::Concurrency(slots) => slots.reopen(),
            Self::MinInterval(spacing) => spacing.reopen(),
        }
    }

    /// How many units could be acquired from `from` up to `to`, one by one.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.available(from, to),
            Self::Window(window) => window.available(from, to),
            Self::Fixed(fixed) => fixed.available(from, to),
            Self::Concurrency(slots) => slots.available(from, to),
            Self::MinInterval(spacing) => spacing.available(from, to),
        }
    }

    /// Takes over the destination's report if it is tighter.
    pub(super) fn observe(
        &mut self,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        most_ms: u64,
        now: Mono,
    ) {
        match self {
            Self::Bucket(bucket) => bucket.observe(limit, remaining, now),
            Self::Window(window) => {
                let reset_ms = reset_ms.map_or(most_ms, |ms| ms.min(most_ms));
                window.observe(limit, remaining, Some(reset_ms), now);
            }
            Self::Fixed(fixed) => fixed.observe(limit, remaining, reset_ms, most_ms, now),
            Self::Concurrency(slots) => {
                slots.observe(limit);
            }
            Self::MinInterval(spacing) => {
                if let Some(until) = exhausted_until(remaining, reset_ms, most_ms, now) {
                    spacing.defer(until);
                }
            }
        }
    }

    /// A concurrency limit without a free slot.
    pub(super) fn is_saturated(&self) -> bool {
        matches!(self, Self::Concurrency(slots) if slots.free() == 0)
    }
}
