//! The bounds of verdicts.

/// The number of conflicts that are handed back at once. Later ones count as transient.
pub const CONFLICTS_AT_ONCE: u32 = 3;
/// The longest wait, in milliseconds, that a destination or a connector can request. A longer one
/// is cut to this.
pub const RETRY_AFTER_MAX_MS: u64 = 31 * 86_400_000;
/// The shortest closure, in milliseconds, after a throttle. A shorter one is lengthened to this, so
/// that a throttle without a time does not cause a busy loop.
pub const THROTTLE_MIN_MS: u64 = 100;
/// The closure, in milliseconds, after a status 429 without a time.
pub const THROTTLE_DEFAULT_MS: u64 = 1000;
