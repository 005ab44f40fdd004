//! A timer that is more exact than the runtime's.
//!
//! The runtime's timers fire on whole milliseconds, up to two milliseconds late. If a limit admits
//! one request at a time, every such delay is lost: at 100 requests per second and a burst of 5,
//! requests used 88 % of a limit with the runtime's timers and 96 % with this one. So one thread
//! sleeps to the microsecond for all waiting tasks. If the thread cannot be started, waiting falls
//! back to the runtime's timers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use egression_core::time::Mono;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::telemetry::thread_cpu;

/// The thread checks at least this often whether the timer still exists.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// From this number of entries on, abandoned ones are removed.
const SWEEP_AT: usize = 64;

/// Wakes tasks at instants of the monotonic clock.
pub struct Timer {
    shared: Arc<Shared>,
    clock: Clock,
    /// The thread runs.
    exact: bool,
}

struct Shared {
    waiting: Mutex<BinaryHeap<Reverse<Waiter>>>,
    /// Wakes the thread for an earlier instant.
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
    /// Starts the thread, which ends when the timer is dropped.
    pub fn start(clock: Clock) -> Self {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            earlier: Condvar::new(),
        });
        let (watched, its_clock) = (Arc::downgrade(&shared), clock.clone());
        let thread = std::thread::Builder::new()
            .name(thread_cpu::GATE_TIMER.to_owned())
            .spawn(move || run(&watched, &its_clock));
        if let Err(error) = &thread {
            tracing::warn!(%error, "no thread for the exact timer; limits are used slightly less");
        }
        Self {
            shared,
            clock,
            exact: thread.is_ok(),
        }
    }

    /// Returns at that instant, never before.
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
        let mut waiting = self.shared.waiting.lock();
        // Waiters that left because a slot was freed are removed before they accumulate.
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
        let mut waiting = shared.waiting.lock();
        let now = clock.mono();
        while waiting.peek().is_some_and(|first| first.0.at <= now) {
            if let Some(Reverse(due)) = waiting.pop() {
                // The waiter may have left.
                let _ = due.wake.send(());
            }
        }
        let sleep = waiting.peek().map_or(LONGEST_SLEEP, |first| {
            Duration::from_micros(first.0.at.since_us(now))
        });
        shared
            .earlier
            .wait_for(&mut waiting, sleep.min(LONGEST_SLEEP));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn timer_wakes_all_waiters_and_none_early() {
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
