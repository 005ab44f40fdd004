//! The slots and the idle instances. Each instance holds one slot of the engine's pool. An idle
//! instance gives its slot up as soon as another call needs one, or after `idle_instance_ms`.

use std::collections::VecDeque;
use std::sync::Arc;

use egression_core::time::Mono;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime::Store;

use super::guest_state::GuestState;
use crate::runtime::v0_1::Guest;

/// The owner of an instance: guest memory never passes from one tenant to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub digest: Arc<str>,
    pub subscription: Arc<str>,
    pub channel: Arc<str>,
}

/// An instance with its slot. The slot is the last field, so that it is released after the store is
/// dropped.
pub struct Instance {
    pub tenant: Tenant,
    pub guest: Guest,
    pub store: Store<GuestState>,
    pub calls: u32,
    /// When its last call ended.
    pub idle_since: Mono,
    pub slot: OwnedSemaphorePermit,
}

pub struct InstancePool {
    free: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// In the order in which they became idle.
    instances: VecDeque<Instance>,
    /// Calls that wait for a slot. While there are any, no instance becomes idle.
    waiting: usize,
}

impl InstancePool {
    pub fn new(slots: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(slots as usize)),
            idle: Mutex::default(),
        }
    }

    pub fn take_idle(&self, tenant: &Tenant) -> Option<Instance> {
        let mut idle = self.idle.lock();
        let newest = idle
            .instances
            .iter()
            .rposition(|instance| instance.tenant == *tenant)?;
        idle.instances.remove(newest)
    }

    /// Waits for a slot, and drops the oldest idle instance if no slot is free. None if there is no
    /// slot by `deadline`.
    pub async fn take_slot(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(slot);
        }
        let evicted = {
            let mut idle = self.idle.lock();
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
        let _waiting = Waiting(self);
        timeout_at(deadline, Arc::clone(&self.free).acquire_owned())
            .await
            .ok()?
            .ok()
    }

    /// Keeps an instance for its tenant's next call, unless another call waits for a slot.
    pub fn put_back(&self, instance: Instance) {
        let mut idle = self.idle.lock();
        if idle.waiting == 0 {
            idle.instances.push_back(instance);
            return;
        }
        drop(idle);
        drop(instance);
    }

    /// Drops the instances that have been idle for `idle_ms`.
    pub fn drop_idle(&self, now: Mono, idle_ms: u64) {
        let expired: VecDeque<Instance> = {
            let mut idle = self.idle.lock();
            let is_expired = |instance: &&Instance| now.since_ms(instance.idle_since) >= idle_ms;
            let count = idle.instances.iter().take_while(is_expired).count();
            idle.instances.drain(..count).collect()
        };
        // Outside the lock: freeing an instance's memory takes time.
        drop(expired);
    }

    /// Drops the idle instances of a component.
    pub fn forget(&self, digest: &str) {
        let forgotten: VecDeque<Instance> = {
            let mut idle = self.idle.lock();
            let (forgotten, kept) = std::mem::take(&mut idle.instances)
                .into_iter()
                .partition(|instance| &*instance.tenant.digest == digest);
            idle.instances = kept;
            forgotten
        };
        drop(forgotten);
    }

    pub fn idle_count(&self) -> usize {
        self.idle.lock().instances.len()
    }

    pub fn free_slots(&self) -> usize {
        self.free.available_permits()
    }
}

/// Counts a call that waits for a slot, until it gets one or gives up.
struct Waiting<'a>(&'a InstancePool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.idle.lock().waiting -= 1;
    }
}
