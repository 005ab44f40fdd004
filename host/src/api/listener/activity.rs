//! What happens on one connection: requests in progress, and the time of the last progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use egression_core::time::Mono;

use super::connection_bounds::ConnectionBounds;
use crate::clock::Clock;

/// Only a request that has arrived and bytes that a client takes are progress. Bytes of a head are
/// not: a client may send one a minute.
pub struct Activity {
    clock: Clock,
    has_begun: AtomicBool,
    in_progress: AtomicU32,
    last_us: AtomicU64,
}

/// A request that a handler works on.
pub struct InProgress(Arc<Activity>);

impl Activity {
    /// A connection that opens now.
    pub fn new(clock: Clock) -> Arc<Self> {
        let now = clock.mono();
        Arc::new(Self {
            clock,
            has_begun: AtomicBool::new(false),
            in_progress: AtomicU32::new(0),
            last_us: AtomicU64::new(now.0),
        })
    }

    /// The head of a request has arrived.
    pub fn begin(self: &Arc<Self>) -> InProgress {
        self.has_begun.store(true, Ordering::Release);
        self.in_progress.fetch_add(1, Ordering::AcqRel);
        InProgress(Arc::clone(self))
    }

    /// The client took bytes of a response.
    pub fn wrote(&self) {
        // A reply of the protocol before the first request is no progress.
        if self.has_begun.load(Ordering::Acquire) {
            self.touch();
        }
    }

    /// Returns when nothing has happened for longer than the bounds allow.
    pub async fn idle(&self, bounds: &ConnectionBounds) {
        loop {
            let now = self.clock.mono();
            let last = Mono(self.last_us.load(Ordering::Acquire));
            let next = if self.in_progress.load(Ordering::Acquire) > 0 {
                now.plus_ms(bounds.idle_timeout_ms)
            } else if self.has_begun.load(Ordering::Acquire) {
                last.plus_ms(bounds.idle_timeout_ms)
            } else {
                last.plus_ms(bounds.head_timeout_ms)
            };
            if next <= now {
                return;
            }
            // A request that begins during the sleep may bring the end of the idle time forward.
            let check = next.min(now.plus_ms(bounds.idle_timeout_ms));
            tokio::time::sleep_until(self.clock.instant(check)).await;
        }
    }

    fn touch(&self) {
        self.last_us.store(self.clock.mono().0, Ordering::Release);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.touch();
        self.0.in_progress.fetch_sub(1, Ordering::AcqRel);
    }
}
