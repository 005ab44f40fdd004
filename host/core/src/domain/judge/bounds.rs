//! The bounds of verdicts.

/// How often a conflict is handed back at once; the next ones count as transient.
pub const CONFLICTS_AT_ONCE: u32 = 3;
/// The longest wait, in milliseconds, that a destination or connector can ask for; a longer one is
/// cut to this.
pub const RETRY_AFTER_MAX_MS: u64 = 31 * 86_400_000;
/// The shortest closure, in milliseconds, after a throttle; a shorter one is lengthened to this, so
/// that a throttle without a time is no busy loop.
pub const THROTTLE_MIN_MS: u64 = 100;
/// The closure, in milliseconds, after a status 429 that does not say for how long.
pub const THROTTLE_DEFAULT_MS: u64 = 1000;
