//! Bounds an instance's linear memory, over all its memories together, and its tables and core
//! instances; and the linear memory of all instances together.
//!
//! Each slot has an equal share of half of the total, which no other instance can take. Beyond its
//! share, an instance takes from the other half as long as there is some. So instances that eat
//! memory make others fail only if these need more than their share, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

use super::wasm_engine::{
    CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLE_ELEMENTS, TABLES_PER_COMPONENT,
};

/// The memory of all instances together.
#[derive(Debug)]
pub struct TotalMemory {
    /// Each instance always gets this much.
    share_bytes: usize,
    /// Instances that need more than their share divide this among them.
    common_bytes: usize,
    common_used: AtomicUsize,
}

impl TotalMemory {
    pub fn new(total_bytes: usize, slots: u32) -> Arc<Self> {
        let share_bytes = total_bytes / 2 / (slots.max(1) as usize);
        Arc::new(Self {
            share_bytes,
            common_bytes: total_bytes - share_bytes * slots as usize,
            common_used: AtomicUsize::new(0),
        })
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |used: usize| {
            let used = used.checked_add(bytes)?;
            (used <= self.common_bytes).then_some(used)
        };
        self.common_used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

#[derive(Debug)]
pub struct GuestMemory {
    total: Arc<TotalMemory>,
    max_bytes: usize,
    used_bytes: usize,
    /// How much of it came from the common half.
    taken_bytes: usize,
    refused: Option<MemoryRefusal>,
}

/// Why an instance got no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryRefusal {
    #[error("the connector needed more memory than `runtime.memory_bytes` allows")]
    Own,
    #[error(
        "the connectors together needed more memory than `runtime.guest_memory_total_bytes` \
         allows; this one has {used_bytes} bytes, more than its own share of {share_bytes}"
    )]
    Total {
        used_bytes: usize,
        share_bytes: usize,
    },
}

impl GuestMemory {
    pub fn new(max_bytes: usize, total: &Arc<TotalMemory>) -> Self {
        Self {
            total: Arc::clone(total),
            max_bytes,
            used_bytes: 0,
            taken_bytes: 0,
            refused: None,
        }
    }

    /// Starts a call: a refusal in an earlier call does not explain a trap in this one.
    pub const fn begin(&mut self) {
        self.refused = None;
    }

    /// Why the instance got no more memory in this call, if it needed more.
    pub const fn refused(&self) -> Option<MemoryRefusal> {
        self.refused
    }

    /// Whether it has memory that others are about to need.
    pub fn is_scarce(&self) -> bool {
        let used = self.total.common_used.load(Ordering::Relaxed);
        self.taken_bytes > 0 && used > self.total.common_bytes / 2
    }

    fn grow(&mut self, by: usize) -> Result<(), MemoryRefusal> {
        let used = self.used_bytes.saturating_add(by);
        if used > self.max_bytes {
            return Err(MemoryRefusal::Own);
        }
        let share_bytes = self.total.share_bytes;
        let taken = used.saturating_sub(share_bytes);
        if taken > self.taken_bytes && !self.total.take(taken - self.taken_bytes) {
            return Err(MemoryRefusal::Total {
                used_bytes: self.used_bytes,
                share_bytes,
            });
        }
        self.taken_bytes = self.taken_bytes.max(taken);
        self.used_bytes = used;
        Ok(())
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.total
            .common_used
            .fetch_sub(self.taken_bytes, Ordering::Relaxed);
    }
}

impl ResourceLimiter for GuestMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = Some(MemoryRefusal::Own);
            return Ok(false);
        }
        if let Err(refusal) = self.grow(desired.saturating_sub(current)) {
            self.refused = Some(refusal);
            return Ok(false);
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_share_of_an_instance_is_its_own() {
        // 4 slots: 100 bytes each, and 400 in common.
        let total = TotalMemory::new(800, 4);
        let mut greedy = GuestMemory::new(1_000, &total);
        let mut modest = GuestMemory::new(1_000, &total);
        assert_eq!(greedy.grow(500), Ok(()));
        assert!(greedy.is_scarce());
        let refused = MemoryRefusal::Total {
            used_bytes: 500,
            share_bytes: 100,
        };
        assert_eq!(greedy.grow(1), Err(refused));
        assert_eq!(modest.grow(100), Ok(()));
        assert!(modest.grow(1).is_err());
        drop(greedy);
        assert_eq!(modest.grow(400), Ok(()), "it was given back");
        assert_eq!(total.common_used.load(Ordering::Relaxed), 400);
    }

    #[test]
    fn memory_of_one_instance_has_its_own_bound() {
        let mut memory = GuestMemory::new(100, &TotalMemory::new(8_000, 1));
        assert_eq!(memory.grow(101), Err(MemoryRefusal::Own));
        assert_eq!(memory.grow(100), Ok(()));
    }
}
