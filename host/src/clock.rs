//! The only place that reads a clock. All other code receives a [`Clock`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use egression_core::time::{Mono, Wall, WallOffset};

/// The monotonic reading at the start of the process, in microseconds: 400 days, so that events
/// from before a restart have positive readings.
const START_US: u64 = 400 * 86_400 * 1_000_000;

/// The host's clocks: a monotonic one that starts with the process, and wall time.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Arc<Instant>,
}

impl Clock {
    /// The system's clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn system() -> Self {
        Self {
            origin: Arc::new(Instant::now()),
        }
    }

    pub fn mono(&self) -> Mono {
        Mono(START_US).plus_us(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    pub fn wall(&self) -> Wall {
        Wall(jiff::Timestamp::now().as_millisecond())
    }

    /// The offset between wall time and monotonic time. If the thread is suspended between the two
    /// readings, they are taken again.
    pub fn wall_offset(&self) -> WallOffset {
        const READINGS: usize = 4;
        const TOGETHER_US: u64 = 1000;
        let mut before = self.mono();
        for _ in 1..READINGS {
            let wall = self.wall();
            let after = self.mono();
            if after.since_us(before) <= TOGETHER_US {
                return WallOffset::of(before, wall);
            }
            before = after;
        }
        WallOffset::of(before, self.wall())
    }

    /// The runtime's instant of a monotonic reading, for timers. [`Mono::FAR`] becomes an instant
    /// about 30 years ahead.
    pub fn instant(&self, at: Mono) -> tokio::time::Instant {
        const LONG: Duration = Duration::from_secs(30 * 365 * 86_400);
        let offset =
            Duration::from_micros(at.since_us(Mono(START_US))).min(self.origin.elapsed() + LONG);
        tokio::time::Instant::from_std(*self.origin + offset)
    }

    /// The wall time of a monotonic reading, by the current offset.
    pub fn wall_of(&self, at: Mono) -> Wall {
        let now = self.mono();
        let wall = self.wall();
        if at >= now {
            wall.plus_ms(i64::try_from(at.since_ms(now)).unwrap_or(i64::MAX))
        } else {
            wall.plus_ms(-i64::try_from(now.since_ms(at)).unwrap_or(i64::MAX))
        }
    }

    /// The monotonic reading of a wall time, by the current offset.
    pub fn mono_of(&self, at: Wall) -> Mono {
        let ahead_ms = at.since_ms(self.wall());
        u64::try_from(ahead_ms).map_or_else(
            |_| self.mono().minus_ms(ahead_ms.unsigned_abs()),
            |ms| self.mono().plus_ms(ms),
        )
    }
}
