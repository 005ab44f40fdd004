//! The engine: how code is compiled, where instances live, and the clock that makes them yield.

use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::budget::TICK_MS;
use super::settings::RuntimeSettings;

/// Core instances of one component. Interpreters that link their libraries at instantiation have
/// about twenty.
pub(super) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
pub(super) const MEMORIES_PER_COMPONENT: u32 = 4;
pub(super) const TABLES_PER_COMPONENT: u32 = 16;
pub(super) const TABLE_ELEMENTS: usize = 50_000;
/// Bytes of a slot that stay resident between two instances: measured to make fresh instances a
/// third cheaper.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;

/// The engine for these bounds. Every slot's address space is reserved here, so that no
/// instantiation fails for want of it.
pub(super) fn engine(settings: &RuntimeSettings) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(settings.slots)
        .total_stacks(settings.slots)
        .total_core_instances(settings.slots.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(settings.slots.saturating_mul(MEMORIES_PER_COMPONENT))
        .total_tables(settings.slots.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(settings.memory_bytes)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A compilation takes one core and leaves the others to those who deliver.
        .parallel_compilation(false);
    Engine::new(&config)
}

/// Starts the thread that advances the epoch every tick. It ends by itself with the engine, and not
/// before: a guest that loops would hold its thread for ever.
pub(super) fn start_ticker(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = std::thread::Builder::new().name("egression-epoch".to_owned());
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own, which does nothing but keep the beat"
    )]
    ticker.spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(Duration::from_millis(TICK_MS));
        }
    })?;
    Ok(())
}
