//! The limits of the host and their bookkeeping: closures, window leases, and what the store must
//! know for a restart. [`super::acquire`] takes a request from them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use egression_core::scheduler::limits::{Charge, Guard, LimitKey};
use egression_core::time::{Mono, Wall};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as FairLock, Notify};

use super::budget::Budget;
use super::timer::Timer;
use super::window_leases::UsedUp;
use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// How long the limiter waits after a refused lease before it tries again, in milliseconds.
const LEASE_RETRY_MS: u64 = 100;

/// All limits of the host and the requests that wait for them.
pub struct Limiter {
    budget: Mutex<Budget>,
    /// One lock per set of limits. Requests on the same limits pass it in the order they came.
    pub fair_locks: Mutex<HashMap<Vec<LimitKey>, Arc<FairLock<()>>>>,
    /// A slot was freed, so waiting requests check again.
    pub freed: Notify,
    leased: Notify,
    /// Admission may find more headroom than before.
    pub headroom_changed: Notify,
    store: Store,
    pub clock: Clock,
    pub timer: Timer,
    pub next_ticket: AtomicU64,
    /// The runtime that takes leases, so that a lease does not end with its caller.
    handle: Handle,
}

impl Limiter {
    /// Restores the closed limits and window uses of earlier runs. Slices that were open count as
    /// used now. They are closed, so that a later restart does not count them again.
    pub async fn restore(
        store: Store,
        guard: Guard,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreError> {
        let (now, wall) = (clock.mono(), clock.wall());
        let mut budget = Budget::new(guard);
        budget.set_wall(clock.wall_offset(), now);
        for (key, until) in store.closed_limits(wall).await? {
            budget.close(&LimitKey::new(key), clock.mono_of(until), now);
        }
        for (key, slice, units, _, closed_at) in store.slices().await? {
            let used = match closed_at {
                // The store has the time at which the last unit was acquired. The destination may
                // have counted it as late as the guard assumes. If the wall clock was set back, the
                // use still does not lie in the future.
                Some(at) => clock.mono_of(at).plus_ms(guard.reach_ms).min(now),
                None => {
                    store.close_slice(&key, slice, wall).await?;
                    now
                }
            };
            budget.remember(LimitKey::new(key), slice, used, units);
        }
        Ok(Arc::new(Self {
            budget: Mutex::new(budget),
            fair_locks: Mutex::default(),
            freed: Notify::new(),
            leased: Notify::new(),
            headroom_changed: Notify::new(),
            store,
            timer: Timer::start(clock.clone()),
            next_ticket: AtomicU64::new(0),
            clock,
            handle: Handle::current(),
        }))
    }

    /// The state. Never held across an await.
    pub fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock()
    }

    /// The state, after fixed windows were aligned with the current wall clock.
    pub fn budget_now(&self) -> MutexGuard<'_, Budget> {
        let (offset, now) = (self.clock.wall_offset(), self.clock.mono());
        let mut budget = self.budget();
        if budget.set_wall(offset, now) {
            self.headroom_changed.notify_one();
        }
        budget
    }

    /// Closes a limit until then, durably.
    pub async fn close(&self, key: &LimitKey, until: Wall, reason: &str) -> Result<(), StoreError> {
        // Memory first: the store may be slow, and the destination already said no.
        self.budget()
            .close(key, self.clock.mono_of(until), self.clock.mono());
        self.store.close_limit(&key.0, until, reason).await
    }

    /// Reopens a limit, durably, and wakes everything that waits for it.
    pub async fn reopen(&self, key: &LimitKey) -> Result<(), StoreError> {
        // The store first: a limit that reopens only until the next restart would surprise.
        self.store.reopen_limit(&key.0).await?;
        self.budget().reopen(key, self.clock.mono());
        self.freed.notify_waiters();
        self.headroom_changed.notify_one();
        Ok(())
    }

    /// Applies what the destination says about a limit, for at most `most_ms`. A closure is in
    /// force at once and stored soon.
    pub fn observe(
        self: &Arc<Self>,
        key: &LimitKey,
        limit: Option<u64>,
        remaining: Option<u64>,
        reset_ms: Option<u64>,
        most_ms: u64,
    ) {
        let now = self.clock.mono();
        let closed = self
            .budget()
            .observe(key, limit, remaining, reset_ms, most_ms, now);
        let Some(until) = closed else {
            return;
        };
        let (limiter, key, until) = (Arc::clone(self), key.clone(), self.clock.wall_of(until));
        self.handle.spawn(async move {
            let reason = "the destination reports no remaining requests";
            if let Err(error) = limiter.store.close_limit(&key.0, until, reason).await {
                tracing::warn!(limit = %key, %error, "closed limit could not be stored");
            }
        });
    }

    /// Returns once enough units of each of these windows are leased. Fails with the reason if that
    /// does not happen before the deadline.
    pub async fn lease_units(
        self: &Arc<Self>,
        shares: &[Charge],
        deadline: Mono,
    ) -> Result<(), String> {
        loop {
            let leased = self.leased.notified();
            tokio::pin!(leased);
            leased.as_mut().enable();
            let missing: Vec<Charge> = self.budget().without_units(shares).cloned().collect();
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
                    .leases(&first.key)
                    .and_then(|leases| leases.error().map(str::to_owned));
                return Err(error.unwrap_or_else(|| "the store did not answer in time".to_owned()));
            }
        }
    }

    /// Leases a slice of a window if fewer than `units` are available.
    fn lease(self: &Arc<Self>, key: &LimitKey, units: u32) {
        let Some((slice, units)) = self
            .budget()
            .leases(key)
            .and_then(|leases| leases.begin_lease(units))
        else {
            return;
        };
        let limiter = Arc::clone(self);
        let key = key.clone();
        self.handle.spawn(async move {
            let now = limiter.clock.wall();
            let result = limiter.store.lease_slice(&key.0, slice, units, now).await;
            if let Err(error) = &result {
                tracing::warn!(
                    limit = %key, %error, "use of a limit could not be stored; its requests wait"
                );
                tokio::time::sleep(std::time::Duration::from_millis(LEASE_RETRY_MS)).await;
            }
            if let Some(leases) = limiter.budget().leases(&key) {
                leases.leased(slice, units, result.map_err(|e| e.to_string()));
            }
            limiter.leased.notify_waiters();
        });
    }

    /// Stores which slices are used up, and leases the next one.
    pub fn record_use(self: &Arc<Self>, key: &LimitKey, used_up: Vec<UsedUp>) {
        self.lease(key, 0);
        if used_up.is_empty() {
            return;
        }
        let limiter = Arc::clone(self);
        let key = key.clone();
        let at = self.clock.wall();
        // If a crash loses this, the restart counts the slice as used later than it was, which is
        // the safe side.
        self.handle.spawn(async move {
            for UsedUp {
                slice,
                remove_before_ms,
            } in used_up
            {
                let mut result = limiter.store.close_slice(&key.0, slice, at).await;
                if let (Ok(()), Some(before_ms)) = (&result, remove_before_ms) {
                    let before = at.plus_ms(-i64::try_from(before_ms).unwrap_or(i64::MAX));
                    result = limiter.store.drop_slices(&key.0, before).await;
                }
                if let Err(error) = result {
                    tracing::warn!(limit = %key, %error, "used slice of a limit could not be \
                                                          stored");
                }
            }
        });
    }
}
