//! Counts the statements that the database runs.

use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// A statement runs.
pub fn add_one() {
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// The statements since the start of the process.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}
