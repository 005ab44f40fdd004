//! Bounds an instance's linear memory, over all its memories together, and its tables and core
//! instances.

use wasmtime::ResourceLimiter;

use super::wasm_engine::{
    CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLE_ELEMENTS, TABLES_PER_COMPONENT,
};

#[derive(Debug)]
pub struct GuestMemory {
    max_bytes: usize,
    used_bytes: usize,
    refused: bool,
}

impl GuestMemory {
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            used_bytes: 0,
            refused: false,
        }
    }

    /// Starts a call: a refusal in an earlier call does not explain a trap in this one.
    pub const fn begin(&mut self) {
        self.refused = false;
    }

    /// Whether the instance needed more memory than it may have.
    pub const fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for GuestMemory {
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
