//! What an instance may take: linear memory over all its memories together, tables, instances.

use wasmtime::ResourceLimiter;

const MAX_TABLE_ELEMENTS: usize = super::engine::TABLE_ELEMENTS;

/// The limits of one instance, and whether it ran into the one on memory.
#[derive(Debug)]
pub(super) struct MemoryBound {
    max_bytes: usize,
    used_bytes: usize,
    refused: bool,
}

impl MemoryBound {
    pub(super) const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            used_bytes: 0,
            refused: false,
        }
    }

    /// Starts a call: what an earlier one was refused does not explain a trap of this one.
    pub(super) const fn begin(&mut self) {
        self.refused = false;
    }

    /// The instance asked for more than it may have.
    pub(super) const fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for MemoryBound {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self
            .used_bytes
            .saturating_add(desired.saturating_sub(current));
        if used > self.max_bytes || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.used_bytes = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        super::engine::CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        super::engine::TABLES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        super::engine::MEMORIES_PER_COMPONENT as usize
    }
}
