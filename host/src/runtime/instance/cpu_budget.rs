//! Measures how long a guest computes, and ends it when its CPU budget is used up.
//!
//! The engine's epoch advances every [`TICK_MS`]. A guest checks it in each loop and function. At a
//! tick, the guest yields, so that its neighbors on the same thread run, and traps if its budget is
//! used up or its deadline has passed. Time is counted in segments: from the moment a guest resumes
//! to its next tick, yield or wait. A segment counts at most one tick, so that a guest does not pay
//! for a machine that suspends its thread. Work that the host does for the guest (a signature, a
//! line to redact) counts too, and each call of an import that can wait has a price.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use egression_core::time::Mono;
use wasmtime::UpdateDeadline;

use crate::clock::Clock;

/// How often a guest yields, in milliseconds.
pub const TICK_MS: u64 = 10;

/// The price of a host call that can wait: about what the threads need to suspend and resume a
/// guest.
const HOST_CALL_US: u64 = 10;

/// Why the host ended a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostTrap {
    #[error("the CPU budget of {budget_ms} ms is used up (see `runtime.cpu_budget_ms`)")]
    CpuBudget { budget_ms: u64 },
    /// An import failed inside the host.
    #[error("the host failed to answer the connector")]
    Ability,
    #[error("the call's deadline has passed")]
    Deadline,
}

/// Counts how long one instance computes in its current call.
#[derive(Clone)]
pub struct Meter {
    clock: Clock,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    segment_start_us: AtomicU64,
    used_us: AtomicU64,
    budget_us: AtomicU64,
    kill_at_us: AtomicU64,
}

impl Meter {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            shared: Arc::default(),
        }
    }

    /// Starts a call that may compute for `budget_ms`, and not after `kill_at`.
    pub fn begin(&self, budget_ms: u64, kill_at: Mono) {
        let budget_us = budget_ms.saturating_mul(1_000);
        self.shared.used_us.store(0, Ordering::Relaxed);
        self.shared.budget_us.store(budget_us, Ordering::Relaxed);
        self.shared.kill_at_us.store(kill_at.0, Ordering::Relaxed);
    }

    /// Microseconds computed in this call.
    pub fn used_us(&self) -> u64 {
        self.shared.used_us.load(Ordering::Relaxed)
    }

    /// Decides at a tick whether the guest may continue.
    pub fn tick(&self) -> Result<UpdateDeadline, HostTrap> {
        self.end_segment();
        self.start_segment();
        let budget_us = self.shared.budget_us.load(Ordering::Relaxed);
        if self.used_us() >= budget_us {
            return Err(HostTrap::CpuBudget {
                budget_ms: budget_us / 1_000,
            });
        }
        if self.clock.mono().0 > self.shared.kill_at_us.load(Ordering::Relaxed) {
            return Err(HostTrap::Deadline);
        }
        Ok(UpdateDeadline::Yield(1))
    }

    /// Drives `guest` and counts the time that it computes.
    pub fn metered<F: Future>(&self, guest: F) -> Metered<F> {
        Metered {
            meter: self.clone(),
            guest: Box::pin(guest),
        }
    }

    /// Does work for the guest on the guest's thread. All of the time counts, because the guest
    /// passes no tick meanwhile.
    pub fn on_guest_thread<R>(&self, work: impl FnOnce() -> R) -> R {
        self.end_segment();
        let began = self.clock.mono();
        let done = work();
        self.charge(began);
        self.start_segment();
        done
    }

    /// Does work for the guest on another thread. Only the time that the work computes counts, not
    /// the time that it waits.
    pub async fn on_other_thread<F: Future>(self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            let began = self.clock.mono();
            let polled = work.as_mut().poll(cx);
            self.charge(began);
            polled
        })
        .await
    }

    /// Counts a call of an import that can make the guest wait. The threads' own work for a wait is
    /// not in any segment, so each wait has a price.
    pub fn count_host_call(&self) {
        self.charge_us(HOST_CALL_US);
    }

    fn charge(&self, began: Mono) {
        self.charge_us(self.clock.mono().since_us(began));
    }

    pub fn charge_us(&self, used_us: u64) {
        self.shared.used_us.fetch_add(used_us, Ordering::Relaxed);
    }

    fn start_segment(&self) {
        let now_us = self.clock.mono().0;
        self.shared
            .segment_start_us
            .store(now_us, Ordering::Relaxed);
    }

    fn end_segment(&self) {
        let start_us = self.shared.segment_start_us.load(Ordering::Relaxed);
        let segment_us = self.clock.mono().0.saturating_sub(start_us);
        self.charge_us(segment_us.min(TICK_MS * 1_000));
    }
}

/// A guest's future whose computing time is counted.
pub struct Metered<F> {
    meter: Meter,
    guest: Pin<Box<F>>,
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.start_segment();
        let polled = self.guest.as_mut().poll(cx);
        self.meter.end_segment();
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than one segment counts.
    const WORK_US: u64 = 3 * TICK_MS * 1_000;

    fn work(clock: &Clock) {
        let began = clock.mono();
        while clock.mono().since_us(began) < WORK_US {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn work_of_the_host_for_a_guest_counts_whole() {
        let clock = Clock::system();
        let meter = Meter::new(clock.clone());
        meter.begin(1_000, Mono::FAR);
        meter
            .metered(async { meter.on_guest_thread(|| work(&clock)) })
            .await;
        assert!(meter.used_us() >= WORK_US, "{}", meter.used_us());
        meter.begin(1_000, Mono::FAR);
        meter.clone().on_other_thread(async { work(&clock) }).await;
        assert!(meter.used_us() >= WORK_US, "{}", meter.used_us());
    }
}
