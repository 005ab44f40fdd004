//! Room for instances. Every instance that exists holds one slot of the engine's pool; idle ones of
//! reusable connectors give theirs up as soon as somebody else needs one, or when nobody used them
//! for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egression_core::time::Mono;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime::Store;

use super::guest::GuestState;
use super::v0_1::Guest;

/// Whom an instance serves: guest memory never passes from one tenant to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    pub(super) digest: Arc<str>,
    pub(super) subscription: Arc<str>,
    pub(super) channel: Arc<str>,
}

/// An instance with its slot. The slot comes last: it is free when the instance is gone.
pub(super) struct Instance {
    pub(super) tenant: Tenant,
    pub(super) guest: Guest,
    pub(super) store: Store<GuestState>,
    pub(super) calls: u32,
    /// When its last call ended.
    pub(super) idle_since: Mono,
    pub(super) slot: OwnedSemaphorePermit,
}

pub(super) struct Slots {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one that was used longest ago comes first.
    instances: VecDeque<Instance>,
    /// Calls that wait for a slot; nothing goes idle then.
    waiting: usize,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(count as usize)),
            idle: Mutex::default(),
        }
    }

    /// An idle instance of this tenant.
    pub(super) fn take_idle(&self, tenant: &Tenant) -> Option<Instance> {
        let mut idle = self.idle();
        let place = idle
            .instances
            .iter()
            .rposition(|instance| instance.tenant == *tenant)?;
        idle.instances.remove(place)
    }

    /// A slot for a new instance; none if there is none until then.
    pub(super) async fn take(&self, until: Instant) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(slot);
        }
        let evicted = {
            let mut idle = self.idle();
            let evicted = idle.instances.pop_front();
            if evicted.is_none() {
                idle.waiting += 1;
            }
            evicted
        };
        if let Some(Instance {
            guest, store, slot, ..
        }) = evicted
        {
            drop((guest, store));
            return Some(slot);
        }
        let _waiter = Waiter(self);
        timeout_at(until, Arc::clone(&self.free).acquire_owned())
            .await
            .ok()?
            .ok()
    }

    /// Keeps an instance for its tenant's next call, unless somebody waits for a slot.
    pub(super) fn put_back(&self, instance: Instance) {
        let mut idle = self.idle();
        if idle.waiting == 0 {
            idle.instances.push_back(instance);
            return;
        }
        drop(idle);
        drop(instance);
    }

    /// Drops instances that nobody used for so long.
    pub(super) fn drop_idle(&self, now: Mono, idle_ms: u64) {
        let mut stale = Vec::new();
        {
            let mut idle = self.idle();
            // In the order in which they went idle, so the first that is kept ends it.
            while idle
                .instances
                .front()
                .is_some_and(|instance| now.since_ms(instance.idle_since) >= idle_ms)
            {
                stale.extend(idle.instances.pop_front());
            }
        }
        drop(stale);
    }

    /// Drops the idle instances of a component.
    pub(super) fn forget(&self, digest: &str) {
        let forgotten: VecDeque<Instance> = {
            let mut idle = self.idle();
            let (gone, kept) = std::mem::take(&mut idle.instances)
                .into_iter()
                .partition(|i| &*i.tenant.digest == digest);
            idle.instances = kept;
            gone
        };
        drop(forgotten);
    }

    /// Instances that wait for their tenant's next call.
    pub(super) fn kept(&self) -> usize {
        self.idle().instances.len()
    }

    pub(super) fn free(&self) -> usize {
        self.free.available_permits()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for a slot, counted even if they give up.
struct Waiter<'a>(&'a Slots);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.idle().waiting -= 1;
    }
}
