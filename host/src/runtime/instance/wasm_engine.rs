//! The wasmtime engine: compilation settings, the address space of the slots, and the epoch that
//! makes guests yield.

use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cpu_budget::TICK_MS;
use crate::runtime::runtime_settings::RuntimeSettings;

/// Core instances of one component. Interpreters that link their libraries at instantiation have
/// about twenty.
pub const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
pub const MEMORIES_PER_COMPONENT: u32 = 4;
pub const TABLES_PER_COMPONENT: u32 = 16;
pub const TABLE_ELEMENTS: usize = 50_000;
/// Bytes of a slot that stay resident between two instances. In a measurement, new instances took a
/// third less time with it.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;

/// Creates the engine and reserves the address space of each slot, so that no instantiation fails
/// for lack of it.
pub fn engine(settings: &RuntimeSettings) -> wasmtime::Result<Engine> {
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
    let mut config = compiling();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// An engine that only compiles, for [`engine`]. It reserves no address space.
pub fn compiling_engine() -> wasmtime::Result<Engine> {
    Engine::new(&compiling())
}

/// The settings that code depends on.
fn compiling() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A compilation uses one core and leaves the others to deliveries.
        .parallel_compilation(false);
    config
}

/// Starts the thread that advances the epoch every tick. It ends with the engine, not earlier:
/// without it, a guest that loops would keep its thread forever.
pub fn start_ticker(engine: &Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = std::thread::Builder::new().name("egression-epoch".to_owned());
    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of its own that does nothing but advance the epoch"
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
