//! The limiter: every request is drawn here at the moment in which it leaves.
//!
//! Requests that draw from the same limits pass a turnstile one after the other, so they leave in
//! the order in which they came, and only the first of them waits on a timer. It waits until the
//! instant that the limits name, or until another request ends, and never past its deadline. Closed
//! limits and used window units are facts in the store.
//!
//! Where others share one of the limits, a request that needs several units of it keeps a place
//! while it waits: who comes later does not take them one by one before its eyes. One that the
//! limit puts off until after its deadline waits nowhere, and finds what others have left when it
//! comes again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egression_core::scheduler::limits::{Draw, Guard, LimitKey, Refusal, Share};
use egression_core::time::{Mono, Wall};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turnstile, Notify};

use super::budget::{Budget, Reservation};
use super::facts::LimitFacts;
use super::slices::UsedUp;
use super::timer::Timer;
use crate::clock::Clock;
use crate::store::StoreError;

/// Turnstiles above which those that nobody uses are removed.
const TURNSTILES_BEFORE_REMOVAL: usize = 1024;
/// How long a request waits at least for one that came before, unless that tells that it goes, in
/// milliseconds.
const OLDER_GOES_MS: u64 = 50;
/// How long a lease that the store refused rests before it is tried again, in milliseconds.
const LEASE_RETRY_MS: u64 = 100;

/// All limits of the host, with those who wait for them.
pub(super) struct Limiter {
    budget: Mutex<Budget>,
    turnstiles: Mutex<HashMap<Vec<LimitKey>, Arc<Turnstile<()>>>>,
    /// A slot was freed: waiting requests look again.
    freed: Notify,
    leased: Notify,
    /// Admission may find more room than before.
    pub(super) limited: Notify,
    facts: Box<dyn LimitFacts>,
    clock: Clock,
    timer: Timer,
    next_place: AtomicU64,
    /// Leases are taken here, so that a caller that goes away does not take them along.
    handle: Handle,
}

#[derive(Debug)]
pub(super) enum Refused {
    /// No room before the deadline.
    Limited { until: Mono, key: LimitKey },
    /// It costs more than a limit ever admits at once.
    TooCostly {
        key: LimitKey,
        units: u32,
        most: u64,
    },
    /// The store could not note a use.
    Unrecorded(String),
}

/// One request, drawn. Its slots are free again when this is dropped.
pub(super) struct Drawn {
    limiter: Arc<Limiter>,
    owner: String,
    draw: Option<Draw>,
}

impl Drop for Drawn {
    fn drop(&mut self) {
        if let Some(draw) = self.draw.take() {
            let now = self.limiter.clock.mono();
            self.limiter.budget().finish(&self.owner, draw, now);
            self.limiter.freed.notify_waiters();
            self.limiter.limited.notify_one();
        }
    }
}

/// The place of a waiting request in the queues of costly ones. It leaves them when this is
/// dropped.
struct Place<'a> {
    limiter: &'a Limiter,
    number: u64,
}

impl Place<'_> {
    /// Those that come later must not take what a costly request waits for.
    fn take(&self, shares: &[Share], refusal: &Refusal) {
        let waits_for = shares
            .iter()
            .find(|share| share.key == refusal.key && share.units > 1);
        if self
            .limiter
            .budget()
            .queues
            .set(self.number, waits_for.map(|_| refusal.clone()))
        {
            self.limiter.freed.notify_waiters();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.limiter.budget().queues.leave(self.number) {
            self.limiter.freed.notify_waiters();
        }
    }
}

impl Limiter {
    /// Restores what earlier runs left: closed limits, and the uses of windows. Slices that were
    /// open count as used now, and are closed so that a later restart does not count them once
    /// more.
    pub(super) async fn restore(
        facts: Box<dyn LimitFacts>,
        guard: Guard,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreError> {
        let (now, wall) = (clock.mono(), clock.wall());
        let mut budget = Budget::new(guard);
        budget.set_wall(clock.wall_offset(), now);
        for (key, until) in facts.closed_limits(wall).await? {
            budget.close(&LimitKey::new(key), clock.mono_of(until), now);
        }
        for (key, slice, units, _, closed_at) in facts.slices().await? {
            let used = match closed_at {
                // It was noted as it was drawn, and the destination may have counted it as late as
                // the guard believes it was on its way. A wall clock that was set back must not put
                // a use into the future.
                Some(at) => clock.mono_of(at).plus_ms(guard.reach_ms).min(now),
                None => {
                    facts.close_slice(&key, slice, wall).await?;
                    now
                }
            };
            budget.remember(LimitKey::new(key), slice, used, units);
        }
        Ok(Arc::new(Self {
            budget: Mutex::new(budget),
            turnstiles: Mutex::default(),
            freed: Notify::new(),
            leased: Notify::new(),
            limited: Notify::new(),
            facts,
            timer: Timer::start(clock.clone()),
            next_place: AtomicU64::new(0),
            clock,
            handle: Handle::current(),
        }))
    }

    /// The state. Never held across an await.
    pub(super) fn budget(&self) -> MutexGuard<'_, Budget> {
        // A panic elsewhere leaves the state whole: every change to it is one call.
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes a limit until then, durably.
    pub(super) async fn close(
        &self,
        key: &LimitKey,
        until: Wall,
        reason: &str,
    ) -> Result<(), StoreError> {
        // In memory first: the store may be slow and the destination has said no already.
        self.budget()
            .close(key, self.clock.mono_of(until), self.clock.mono());
        self.facts.close_limit(&key.0, until, reason).await
    }

    /// Takes over what the destination says of a limit. A closure is in force at once and stored
    /// soon.
    pub(super) fn observe(
        self: &Arc<Self>,
        key: &LimitKey,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
    ) {
        let Some(until) = self
            .budget()
            .observe(key, limit, remaining, reset_ms, self.clock.mono())
        else {
            return;
        };
        let (limiter, key, until) = (Arc::clone(self), key.clone(), self.clock.wall_of(until));
        self.handle.spawn(async move {
            if let Err(error) = limiter
                .facts
                .close_limit(&key.0, until, "the destination says that nothing remains")
                .await
            {
                tracing::warn!(limit = %key, %error, "a closed limit could not be kept");
            }
        });
    }

    /// The state, with fixed windows where the wall clock has them now.
    pub(super) fn budget_of_now(&self) -> MutexGuard<'_, Budget> {
        let (offset, now) = (self.clock.wall_offset(), self.clock.mono());
        let mut budget = self.budget();
        if budget.set_wall(offset, now) {
            self.limited.notify_one();
        }
        budget
    }

    /// Waits for its turn and for room in all of these limits, and draws.
    pub(super) async fn draw(
        self: &Arc<Self>,
        owner: &str,
        shares: &[Share],
        reservation: &Mutex<Reservation>,
        deadline: Mono,
    ) -> Result<Drawn, Refused> {
        let turnstile = self.turnstile(shares.iter().map(|share| share.key.clone()).collect());
        let end = self.clock.instant(deadline);
        let Ok(_turn) = tokio::time::timeout_at(end, turnstile.lock()).await else {
            return Err(Self::limited_now(
                self.budget_of_now().refusal(shares, self.clock.mono()),
                shares,
                deadline,
            ));
        };
        self.budget().note_costs(owner, shares);
        let place = Place {
            limiter: self,
            number: self.next_place.fetch_add(1, Ordering::Relaxed),
        };
        loop {
            // Each time: the limits may have been changed while it waited.
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
            let refusal = match self.refusal(shares, place.number) {
                Some(refusal) => refusal,
                // Only when there is room: what is leased and not used is forfeit in a restart.
                None => {
                    self.have_units(shares, deadline).await?;
                    match self.try_draw(owner, shares, reservation) {
                        None => continue,
                        Some(Ok(drawn)) => return Ok(drawn),
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
            place.take(shares, &refusal);
            tokio::select! {
                () = self.timer.wait_until(refusal.until.min(deadline)) => {}
                // The call ends at its deadline, also if the timer's thread does not.
                () = tokio::time::sleep_until(end) => {}
                () = freed => {}
            }
            if self.clock.mono() >= deadline {
                return Err(Self::limited_now(
                    self.refusal(shares, place.number),
                    shares,
                    deadline,
                ));
            }
        }
    }

    /// Why a request in this place of the queues has to wait; none: it need not.
    fn refusal(&self, shares: &[Share], place: u64) -> Option<Refusal> {
        let now = self.clock.mono();
        let budget = self.budget_of_now();
        let own = budget.refusal(shares, now);
        // The older one may be past its instant, and only wait for the store. When it goes, it
        // tells.
        own.or_else(|| {
            budget.queues.older(shares, place).map(|older| Refusal {
                until: older.until.max(now.plus_ms(OLDER_GOES_MS)),
                ..older
            })
        })
    }

    /// None: another turnstile took the last units of a window.
    fn try_draw(
        self: &Arc<Self>,
        owner: &str,
        shares: &[Share],
        reservation: &Mutex<Reservation>,
    ) -> Option<Result<Drawn, Refusal>> {
        // The wall clock was looked at when there was found to be room.
        let mut budget = self.budget();
        if budget.without_units(shares).next().is_some() {
            return None;
        }
        let (draw, used) = match budget.try_draw(owner, shares, self.clock.mono()) {
            Ok(drawn) => drawn,
            Err(refusal) => return Some(Err(refusal)),
        };
        budget.spend(&mut reservation.lock().unwrap_or_else(PoisonError::into_inner));
        drop(budget);
        for (key, used_up) in used {
            self.note_use(&key, used_up);
        }
        Some(Ok(Drawn {
            limiter: Arc::clone(self),
            owner: owner.to_owned(),
            draw: Some(draw),
        }))
    }

    /// What to answer when the time is up.
    fn limited_now(refusal: Option<Refusal>, shares: &[Share], deadline: Mono) -> Refused {
        let (key, until) = match (refusal, shares.first()) {
            (Some(refusal), _) => (refusal.key, refusal.until),
            (None, Some(share)) => (share.key.clone(), deadline),
            (None, None) => (LimitKey::new(""), deadline),
        };
        // Until when a running request lasts is not known; the deadline is as good a time to ask
        // again as any.
        Refused::Limited {
            until: if until == Mono::FAR {
                deadline
            } else {
                until.max(deadline)
            },
            key,
        }
    }

    fn turnstile(&self, keys: Vec<LimitKey>) -> Arc<Turnstile<()>> {
        let mut turnstiles = self
            .turnstiles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if turnstiles.len() > TURNSTILES_BEFORE_REMOVAL {
            turnstiles.retain(|_, turnstile| Arc::strong_count(turnstile) > 1);
        }
        Arc::clone(turnstiles.entry(keys).or_default())
    }

    /// Returns when of every window among these so many units are leased.
    async fn have_units(self: &Arc<Self>, shares: &[Share], deadline: Mono) -> Result<(), Refused> {
        loop {
            let leased = self.leased.notified();
            tokio::pin!(leased);
            leased.as_mut().enable();
            let missing: Vec<Share> = self.budget().without_units(shares).cloned().collect();
            let Some(first) = missing.first() else {
                return Ok(());
            };
            for share in &missing {
                self.lease(&share.key, share.units);
            }
            if tokio::time::timeout_at(self.clock.instant(deadline), leased)
                .await
                .is_err()
            {
                let error = self
                    .budget()
                    .slices(&first.key)
                    .and_then(|s| s.error().map(str::to_owned));
                return Err(Refused::Unrecorded(
                    error.unwrap_or_else(|| "the store did not answer in time".to_owned()),
                ));
            }
        }
    }

    /// Leases a slice of a window if it needs one to have so many units.
    fn lease(self: &Arc<Self>, key: &LimitKey, units: u32) {
        let Some((slice, units)) = self
            .budget()
            .slices(key)
            .and_then(|slices| slices.begin_lease(units))
        else {
            return;
        };
        let limiter = Arc::clone(self);
        let key = key.clone();
        self.handle.spawn(async move {
            let result = limiter.facts.lease_slice(&key.0, slice, units, limiter.clock.wall()).await;
            if let Err(error) = &result {
                tracing::warn!(limit = %key, %error, "a use of a limit could not be stored; requests wait");
                tokio::time::sleep(std::time::Duration::from_millis(LEASE_RETRY_MS)).await;
            }
            if let Some(slices) = limiter.budget().slices(&key) {
                slices.leased(slice, units, result.map_err(|e| e.to_string()));
            }
            limiter.leased.notify_waiters();
        });
    }

    /// Tells the store of slices that are used up, and leases ahead.
    fn note_use(self: &Arc<Self>, key: &LimitKey, used_up: Vec<UsedUp>) {
        self.lease(key, 0);
        if used_up.is_empty() {
            return;
        }
        let limiter = Arc::clone(self);
        let key = key.clone();
        let at = self.clock.wall();
        // If this is lost in a crash the slice counts as used at the restart: later than it was, so
        // on the safe side.
        self.handle.spawn(async move {
            for UsedUp { slice, remove_before_ms } in used_up {
                let mut result = limiter.facts.close_slice(&key.0, slice, at).await;
                if let (Ok(()), Some(before_ms)) = (&result, remove_before_ms) {
                    let before = at.plus_ms(-i64::try_from(before_ms).unwrap_or(i64::MAX));
                    result = limiter.facts.drop_slices(&key.0, before).await;
                }
                if let Err(error) = result {
                    tracing::warn!(limit = %key, %error, "a used slice of a limit could not be noted");
                }
            }
        });
    }
}
