//! One limit of any kind behind one set of questions.

use super::fixed_window::FixedWindow;
use super::kind::{Guard, LimitKind};
use super::min_interval::MinInterval;
use super::sliding_window::Window;
use super::token_bucket::TokenBucket;
use crate::time::{Mono, WallOffset};

/// The longest reset that is believed, in milliseconds. A longer one is a connector that mistakes
/// an instant for a duration.
const OBSERVED_RESET_MAX_MS: u64 = 3_600_000;

/// An answer can be so old when its observation comes in, in microseconds: the default timeout of a
/// connector's own request.
pub(super) const STALE_US: u64 = 15_000_000;

/// A limit and its state.
#[derive(Clone, Debug)]
pub(super) enum Limit {
    Bucket(TokenBucket),
    Window(Window),
    Fixed(FixedWindow),
    Slots(Slots),
    MinInterval(MinInterval),
}

/// Requests that may be unanswered at once.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    max: u64,
    in_use: u64,
    observed_max: Option<u64>,
    turnover: Turnover,
}

/// How many slots were taken of late. A slot that is taken was given back before, so this is how
/// many come free.
#[derive(Clone, Debug, Default)]
struct Turnover {
    since: Mono,
    taken: u64,
    taken_before: u64,
}

/// The time over which turnover is counted, in milliseconds.
const TURNOVER_MS: u64 = 500;

impl Turnover {
    fn take(&mut self, now: Mono) {
        let passed = now.since_ms(self.since);
        if passed >= TURNOVER_MS {
            self.taken_before = if passed < 2 * TURNOVER_MS {
                self.taken
            } else {
                0
            };
            (self.taken, self.since) = (0, now);
        }
        self.taken += 1;
    }

    /// Slots that came free in a span of this length, if the present goes on as the last moments
    /// did.
    fn in_span(&self, now: Mono, span_ms: u64) -> u64 {
        let passed = now.since_ms(self.since);
        if passed >= 2 * TURNOVER_MS {
            return 0;
        }
        let recent = if passed >= TURNOVER_MS {
            self.taken
        } else {
            self.taken_before.max(self.taken)
        };
        recent.saturating_mul(span_ms) / TURNOVER_MS
    }
}

impl Slots {
    fn free(&self) -> u64 {
        self.observed_max
            .map_or(self.max, |m| m.min(self.max))
            .saturating_sub(self.in_use)
    }

    /// Those that are free, and those that will be by then: at most as many again as there are, so
    /// that a destination that stops answering leaves few callers waiting.
    fn available(&self, from: Mono, to: Mono) -> u64 {
        self.free() + self.turnover.in_span(from, to.since_ms(from)).min(self.max)
    }
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
                Self::Window(Window::new(max, window_ms, guard))
            }
            LimitKind::FixedWindow {
                max,
                window_ms,
                anchor,
            } => Self::Fixed(FixedWindow::new(max, window_ms, anchor, guard, offset)),
            LimitKind::Concurrency { max } => Self::Slots(Slots {
                max: u64::from(max),
                in_use: 0,
                observed_max: None,
                turnover: Turnover::default(),
            }),
            LimitKind::MinInterval { interval_ms } => {
                Self::MinInterval(MinInterval::just_used(interval_ms, guard, now))
            }
        }
    }

    /// Takes new sizes and keeps what was used, also where a window is to begin at fixed times from
    /// now on or nowhere in particular. False: another kind, nothing changed.
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
                let mut window = Window::new(max, window_ms, guard);
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
            (Self::Slots(slots), LimitKind::Concurrency { max }) => {
                slots.max = u64::from(max);
                slots.observed_max = None;
            }
            (Self::MinInterval(spacing), LimitKind::MinInterval { interval_ms }) => {
                spacing.reshape(interval_ms, guard)
            }
            _ => return false,
        }
        true
    }

    /// How wall time relates to the monotonic clock from now on.
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
            Self::Slots(_) | Self::MinInterval(_) => u64::MAX,
        }
    }

    /// The earliest instant, not before `now`, at which a request of so many units could be drawn;
    /// [`Mono::FAR`]: no instant helps.
    pub(super) fn ready(&self, now: Mono, units: u64) -> Mono {
        match self {
            Self::Bucket(bucket) => bucket.ready(now, units),
            Self::Window(window) => window.ready(now, units),
            Self::Fixed(fixed) => fixed.ready(now, units),
            Self::Slots(slots) if slots.free() > 0 => now,
            Self::Slots(_) => Mono::FAR,
            Self::MinInterval(spacing) => spacing.ready(now),
        }
    }

    /// Draws one request of so many units.
    pub(super) fn acquire(&mut self, now: Mono, units: u64) {
        match self {
            Self::Bucket(bucket) => bucket.acquire(now, units),
            Self::Window(window) => window.acquire(now, units),
            Self::Fixed(fixed) => fixed.acquire(now, units),
            Self::Slots(slots) => {
                slots.in_use += 1;
                slots.turnover.take(now);
            }
            Self::MinInterval(spacing) => spacing.acquire(now),
        }
    }

    /// The request of so many units that was drawn at `drawn` is answered.
    pub(super) fn answered(&mut self, drawn: Mono, now: Mono, units: u64) {
        match self {
            Self::Bucket(bucket) => bucket.answered(drawn, now, units),
            Self::Window(window) => window.answered(drawn, now, units),
            Self::Fixed(fixed) => fixed.answered(drawn, now, units),
            Self::Slots(slots) => slots.in_use = slots.in_use.saturating_sub(1),
            Self::MinInterval(_) => {}
        }
    }

    /// How many units could be drawn from `from` up to `to`, one by one.
    pub(super) fn available(&self, from: Mono, to: Mono) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.available(from, to),
            Self::Window(window) => window.available(from, to),
            Self::Fixed(fixed) => fixed.available(from, to),
            Self::Slots(slots) => slots.available(from, to),
            Self::MinInterval(spacing) => spacing.available(from, to),
        }
    }

    /// Takes the destination's word where it is tighter.
    pub(super) fn observe(
        &mut self,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        now: Mono,
    ) {
        match self {
            Self::Bucket(bucket) => bucket.observe(limit, remaining, now),
            Self::Window(window) => window.observe(limit, remaining, reset_ms, now),
            Self::Fixed(fixed) => fixed.observe(limit, remaining, reset_ms, now),
            Self::Slots(slots) => {
                slots.observed_max = limit.filter(|l| *l > 0).or(slots.observed_max)
            }
            Self::MinInterval(spacing) => {
                if let Some(until) = exhausted_until(remaining, reset_ms, now) {
                    spacing.defer(until);
                }
            }
        }
    }

    /// A concurrency limit without a free slot.
    pub(super) fn is_saturated(&self) -> bool {
        matches!(self, Self::Slots(slots) if slots.free() == 0)
    }
}

/// Until when a limit without a shape of its own is shut by an observation: nothing is left, and
/// the reset is known.
pub(super) fn exhausted_until(
    remaining: Option<u64>,
    reset_ms: Option<u64>,
    now: Mono,
) -> Option<Mono> {
    let reset_ms = reset_ms.filter(|_| remaining == Some(0))?;
    Some(now.plus_ms(reset_ms.min(OBSERVED_RESET_MAX_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_in_use_count_as_far_as_they_come_free() {
        let mut slots = Limit::new(
            LimitKind::Concurrency { max: 10 },
            Guard::NONE,
            Mono(0),
            WallOffset::default(),
        );
        let mut now = Mono(0);
        // 100 a second, each done at once but the last ten, which hang.
        for _ in 0..100 {
            slots.acquire(now, 1);
            slots.answered(now, now, 1);
            now = now.plus_ms(10);
        }
        for _ in 0..10 {
            slots.acquire(now, 1);
        }
        assert!(slots.is_saturated());
        assert_eq!(
            slots.available(now, now.plus_ms(50)),
            5,
            "at the pace of the last moments"
        );
        assert_eq!(
            slots.available(now, now.plus_ms(300)),
            10,
            "at most as many again"
        );
        let later = now.plus_ms(2000);
        assert_eq!(
            slots.available(later, later.plus_ms(300)),
            0,
            "nothing came free of late"
        );
    }
}
