//! The clocks of the measurements.
//!
//! The monotonic clock is the same in all processes, so that the arrival at the sink can be
//! compared with the moment of sending.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds on the machine's monotonic clock.
pub(crate) fn now_ns() -> u64 {
    ns(clock_gettime(ClockId::Monotonic))
}

/// The seconds since an earlier moment.
pub(crate) fn seconds_since(earlier_ns: u64) -> f64 {
    (now_ns() - earlier_ns) as f64 / 1e9
}

/// The CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> f64 {
    ns(clock_gettime(ClockId::ProcessCPUTime)) as f64 / 1e9
}

fn ns(time: Timespec) -> u64 {
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}
