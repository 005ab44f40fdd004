//! Where a limit is acquired: each request passes here at the moment it leaves.
//!
//! Requests on the same limits pass a fair lock one after another, so they leave in the order they
//! came, and only the first of them waits on a timer. It waits until the instant that the limits
//! name or until another request ends, but not past its deadline.
//!
//! If others share one of the limits, a request that needs several of its units holds a ticket
//! while it waits: later requests must not take these units one by one. A request that the limit
//! delays past its deadline does not wait. It gets what others leave when it comes again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use egression_core::domain::ids::Owner;
use egression_core::scheduler::limits::{Acquisition, Charge, LimitKey, Refusal};
use egression_core::time::Mono;
use parking_lot::Mutex;
use tokio::sync::Mutex as FairLock;

use super::limiter::Limiter;
use super::reservations::Reservation;

/// Above this number of fair locks, the unused ones are removed.
const MAX_UNUSED_LOCKS: usize = 1024;
/// The shortest wait for an earlier request, in milliseconds. It notifies when it leaves.
const EARLIER_LEAVES_MS: u64 = 50;

#[derive(Debug)]
pub enum Refused {
    /// No room before the deadline.
    Limited { until: Mono, key: LimitKey },
    /// It costs more than a limit ever admits at once.
    TooCostly {
        key: LimitKey,
        units: u32,
        most: u64,
    },
    /// The store could not record a use.
    Unrecorded(String),
}

/// One request's units. Dropping it frees its slots.
pub struct Acquired {
    limiter: Arc<Limiter>,
    owner: Owner,
    draw: Option<Acquisition>,
}

impl Drop for Acquired {
    fn drop(&mut self) {
        if let Some(draw) = self.draw.take() {
            let now = self.limiter.clock.mono();
            self.limiter.budget().finish(self.owner, draw, now);
            self.limiter.freed.notify_waiters();
            self.limiter.headroom_changed.notify_one();
        }
    }
}

/// A request's place among the waiters for several units. Dropping it gives the place up.
struct Ticket<'a> {
    limiter: &'a Limiter,
    number: u64,
    passes_closures: bool,
}

impl Ticket<'_> {
    /// Keeps later requests from the units that this one waits for.
    fn wait_for(&self, shares: &[Charge], refusal: &Refusal) {
        let waits_for = shares
            .iter()
            .find(|share| share.key == refusal.key && share.units > 1);
        let refusal = waits_for.map(|_| refusal.clone());
        if self.limiter.budget().waiters.set(self.number, refusal) {
            self.limiter.freed.notify_waiters();
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.limiter.budget().waiters.leave(self.number) {
            self.limiter.freed.notify_waiters();
        }
    }
}

impl Limiter {
    /// Waits for the request's turn and for room in all of these limits, and acquires them.
    pub async fn acquire(
        self: &Arc<Self>,
        owner: Owner,
        shares: &[Charge],
        reservation: &Mutex<Reservation>,
        deadline: Mono,
        passes_closures: bool,
    ) -> Result<Acquired, Refused> {
        let fair_lock = self.fair_lock(shares, passes_closures);
        let end = self.clock.instant(deadline);
        let Ok(_turn) = tokio::time::timeout_at(end, fair_lock.lock()).await else {
            let now = self.clock.mono();
            let refusal = self.budget_now().refusal(shares, now, passes_closures);
            return Err(limited(refusal, shares, deadline));
        };
        self.budget().note_costs(owner, shares);
        let ticket = Ticket {
            limiter: self,
            number: self.next_ticket.fetch_add(1, Ordering::Relaxed),
            passes_closures,
        };
        loop {
            // Checked in each round, because the limits may have changed during the wait.
            if let Some((share, most)) = self.budget().exceeds(shares) {
                return Err(Refused::TooCostly {
                    key: share.key.clone(),
                    units: share.units,
                    most,
                });
            }
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let refusal = match self.refusal(shares, &ticket) {
                Some(refusal) => refusal,
                // Leases only when there is room, because a restart forfeits unused leases.
                None => {
                    self.lease_units(shares, deadline)
                        .await
                        .map_err(Refused::Unrecorded)?;
                    match self.try_acquire(owner, shares, reservation, passes_closures) {
                        None => continue,
                        Some(Ok(acquired)) => return Ok(acquired),
                        Some(Err(refusal)) => refusal,
                    }
                }
            };
            if refusal.until != Mono::FAR && refusal.until > deadline {
                return Err(Refused::Limited {
                    until: refusal.until,
                    key: refusal.key,
                });
            }
            ticket.wait_for(shares, &refusal);
            tokio::select! {
                () = self.timer.wait_until(refusal.until.min(deadline)) => {}
                // Ends the call at its deadline even if the timer's thread fails.
                () = tokio::time::sleep_until(end) => {}
                () = freed => {}
            }
            if self.clock.mono() >= deadline {
                let refusal = self.refusal(shares, &ticket);
                return Err(limited(refusal, shares, deadline));
            }
        }
    }

    /// Why the holder of this ticket must wait; `None` if it need not.
    fn refusal(&self, shares: &[Charge], ticket: &Ticket<'_>) -> Option<Refusal> {
        let now = self.clock.mono();
        let budget = self.budget_now();
        let own = budget.refusal(shares, now, ticket.passes_closures);
        // An earlier request may be past its instant and wait only for the store. It notifies when
        // it leaves.
        own.or_else(|| {
            budget
                .waiters
                .earlier(shares, ticket.number)
                .map(|earlier| Refusal {
                    until: earlier.until.max(now.plus_ms(EARLIER_LEAVES_MS)),
                    ..earlier
                })
        })
    }

    /// `None`: a request on other limits took the last leased units of a shared window.
    fn try_acquire(
        self: &Arc<Self>,
        owner: Owner,
        shares: &[Charge],
        reservation: &Mutex<Reservation>,
        passes_closures: bool,
    ) -> Option<Result<Acquired, Refusal>> {
        // `refusal` has just read the wall clock.
        let mut budget = self.budget();
        if budget.without_units(shares).next().is_some() {
            return None;
        }
        let now = self.clock.mono();
        let (draw, used) = match budget.try_acquire(owner, shares, now, passes_closures) {
            Ok(acquired) => acquired,
            Err(refusal) => return Some(Err(refusal)),
        };
        budget.spend(&mut reservation.lock());
        drop(budget);
        for (key, used_up) in used {
            self.record_use(&key, used_up);
        }
        Some(Ok(Acquired {
            limiter: Arc::clone(self),
            owner,
            draw: Some(draw),
        }))
    }

    /// A check does not wait behind requests that a closed limit holds.
    fn fair_lock(&self, shares: &[Charge], passes_closures: bool) -> Arc<FairLock<()>> {
        let mut keys: Vec<LimitKey> = shares.iter().map(|share| share.key.clone()).collect();
        keys.extend(passes_closures.then(|| LimitKey::new("check")));
        let mut locks = self.fair_locks.lock();
        if locks.len() > MAX_UNUSED_LOCKS {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(keys).or_default())
    }
}

/// The refusal of a request whose time is up.
fn limited(refusal: Option<Refusal>, shares: &[Charge], deadline: Mono) -> Refused {
    let (key, until) = match (refusal, shares.first()) {
        (Some(refusal), _) => (refusal.key, refusal.until),
        (None, Some(share)) => (share.key.clone(), deadline),
        (None, None) => (LimitKey::new(""), deadline),
    };
    // Nobody knows when a request in flight ends, so the caller may ask again at the deadline.
    let until = if until == Mono::FAR {
        deadline
    } else {
        until.max(deadline)
    };
    Refused::Limited { until, key }
}
