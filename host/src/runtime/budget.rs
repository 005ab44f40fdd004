//! The time that a guest computes, and its end when it is used up.
//!
//! The engine's epoch advances every [`TICK_MS`]. A guest looks at it in every loop and function;
//! past a tick it yields, so that its neighbours on the same thread run, and traps when its budget
//! is used or its deadline is long over. Time is counted in segments: from the moment a guest is
//! resumed to its next tick, yield or wait. A segment counts for a tick at most, so that a guest
//! does not pay for a machine that takes its thread away. What the host computes for it (a
//! signature, a line to redact) is counted as well.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use egression_core::time::Mono;
use wasmtime::UpdateDeadline;

use crate::clock::Clock;

/// How often a guest yields, in milliseconds.
pub(super) const TICK_MS: u64 = 10;

/// Why the host ended a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HostTrap {
    /// It computed longer than it may.
    #[error("the CPU budget of {budget_ms} ms is used (bound `runtime.cpu_budget_ms`)")]
    CpuBudget { budget_ms: u64 },
    /// What it asked the host for broke down inside the host.
    #[error("the host failed to answer the connector")]
    Ability,
    /// It was still there when the call was over.
    #[error("the call's deadline is over")]
    Deadline,
}

/// Counts what one instance computes in its current call.
#[derive(Clone)]
pub(super) struct Meter {
    clock: Clock,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    segment_start_us: AtomicU64,
    used_us: AtomicU64,
    budget_us: AtomicU64,
    end_us: AtomicU64,
}

impl Meter {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            shared: Arc::default(),
        }
    }

    /// Starts a call that may compute for `budget_ms` and not beyond `end`.
    pub(super) fn begin(&self, budget_ms: u64, end: Mono) {
        self.shared.used_us.store(0, Ordering::Relaxed);
        self.shared
            .budget_us
            .store(budget_ms.saturating_mul(1_000), Ordering::Relaxed);
        self.shared.end_us.store(end.0, Ordering::Relaxed);
    }

    /// Microseconds computed in this call.
    pub(super) fn used_us(&self) -> u64 {
        self.shared.used_us.load(Ordering::Relaxed)
    }

    /// What the guest does at a tick.
    pub(super) fn tick(&self) -> Result<UpdateDeadline, HostTrap> {
        self.end_segment();
        self.start_segment();
        let budget_us = self.shared.budget_us.load(Ordering::Relaxed);
        if self.used_us() >= budget_us {
            return Err(HostTrap::CpuBudget {
                budget_ms: budget_us / 1_000,
            });
        }
        if self.clock.mono().0 > self.shared.end_us.load(Ordering::Relaxed) {
            return Err(HostTrap::Deadline);
        }
        Ok(UpdateDeadline::Yield(1))
    }

    /// Drives `guest` and counts the time that it computes.
    pub(super) fn metered<F: Future>(&self, guest: F) -> Metered<F> {
        Metered {
            meter: self.clone(),
            guest: Box::pin(guest),
        }
    }

    /// Does what the guest asked for on its own thread. Counted whole: the guest passes no tick
    /// meanwhile.
    pub(super) fn on_its_thread<R>(&self, work: impl FnOnce() -> R) -> R {
        self.end_segment();
        let began = self.clock.mono();
        let done = work();
        self.charge(began);
        self.start_segment();
        done
    }

    /// Does what the guest asked for on another thread. Counted is what it computes there, not what
    /// it waits for.
    pub(super) async fn elsewhere<F: Future>(self, work: F) -> F::Output {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| {
            let began = self.clock.mono();
            let polled = work.as_mut().poll(cx);
            self.charge(began);
            polled
        })
        .await
    }

    fn charge(&self, began: Mono) {
        self.shared
            .used_us
            .fetch_add(self.clock.mono().since_us(began), Ordering::Relaxed);
    }

    fn start_segment(&self) {
        self.shared
            .segment_start_us
            .store(self.clock.mono().0, Ordering::Relaxed);
    }

    fn end_segment(&self) {
        let segment_us = self
            .clock
            .mono()
            .0
            .saturating_sub(self.shared.segment_start_us.load(Ordering::Relaxed));
        self.shared
            .used_us
            .fetch_add(segment_us.min(TICK_MS * 1_000), Ordering::Relaxed);
    }
}

/// A guest's future whose computing is counted.
pub(super) struct Metered<F> {
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

    /// Longer than what a segment counts for.
    const WORK_US: u64 = 3 * TICK_MS * 1_000;

    fn work(clock: &Clock) {
        let began = clock.mono();
        while clock.mono().since_us(began) < WORK_US {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn what_the_host_computes_for_a_guest_is_counted_whole() {
        let clock = Clock::system();
        let meter = Meter::new(clock.clone());
        meter.begin(1_000, Mono::FAR);
        meter
            .metered(async { meter.on_its_thread(|| work(&clock)) })
            .await;
        assert!(meter.used_us() >= WORK_US, "{}", meter.used_us());
        meter.begin(1_000, Mono::FAR);
        meter.clone().elsewhere(async { work(&clock) }).await;
        assert!(meter.used_us() >= WORK_US, "{}", meter.used_us());
    }
}
