//! The engine with its threads, one per host.

use std::sync::Arc;

use tokio::runtime::Handle;
use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

use super::instance::guest_memory::TotalMemory;
use super::instance::guest_state::GuestState;
use super::instance::guest_threads::GuestThreads;
use super::instance::instance_pool::InstancePool;
use super::instance::{wasi, wasm_engine};
use super::registry::code_cache::CodeCache;
use super::registry::compiler::Compiler;
use super::runtime_settings::RuntimeSettings;
use super::v0_1;
use crate::clock::Clock;
use crate::schemas::Workers;

pub struct Runtime {
    pub(super) settings: RuntimeSettings,
    pub(super) clock: Clock,
    pub(super) engine: Engine,
    pub(super) linker: Linker<GuestState>,
    pub(super) cache: CodeCache,
    pub(super) pool: InstancePool,
    pub(super) compiler: Compiler,
    pub(super) schema_workers: Arc<Workers>,
    /// Runs abilities on the host's own threads.
    host: Handle,
    pub(super) guests: GuestThreads,
    guest_memory: Arc<TotalMemory>,
}

#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Most often, the address space is too small for `runtime.slots`.
    #[error("the WASM engine cannot start: {0}")]
    Engine(String),
    #[error("the WASM engine must start on the host's tokio runtime")]
    NoHost,
    #[error("the guests' threads cannot start: {0}")]
    Threads(#[from] std::io::Error),
}

impl Runtime {
    /// Starts the engine and the guests' threads. Must be called on the host's tokio runtime, which
    /// will run the abilities. Fails if the engine cannot reserve its slots, or a thread cannot
    /// start.
    pub fn start(settings: RuntimeSettings, clock: Clock) -> Result<Arc<Self>, RuntimeError> {
        let host = Handle::try_current().map_err(|_| RuntimeError::NoHost)?;
        let engine = wasm_engine::engine(&settings)
            .map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let linker = linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        wasm_engine::start_ticker(&engine)?;
        let runtime = Arc::new(Self {
            cache: CodeCache::new(&engine, &settings.cache_dir, &settings.cache_key),
            pool: InstancePool::new(settings.slots),
            compiler: Compiler::new(&settings, &clock),
            schema_workers: Arc::new(Workers::start(
                settings.schemas.threads,
                settings.schemas.deadline_ms,
                clock.clone(),
            )?),
            host,
            guests: GuestThreads::start(settings.workers)?,
            guest_memory: TotalMemory::new(settings.guest_memory_total_bytes, settings.slots),
            settings,
            clock,
            engine,
            linker,
        });
        runtime.sweep_idle();
        Ok(runtime)
    }

    /// Drops instances that are idle for too long, until the runtime ends.
    fn sweep_idle(self: &Arc<Self>) {
        let (runtime, clock, idle_ms) = (
            Arc::downgrade(self),
            self.clock.clone(),
            self.settings.idle_instance_ms.max(1),
        );
        let Some(threads) = self.guests.light() else {
            return;
        };
        threads.spawn(async move {
            loop {
                // At half the period, no instance stays longer than one and a half periods.
                tokio::time::sleep_until(clock.instant(clock.mono().plus_ms(idle_ms.div_ceil(2))))
                    .await;
                let Some(runtime) = runtime.upgrade() else {
                    return;
                };
                runtime.pool.drop_idle(clock.mono(), idle_ms);
            }
        });
    }

    pub fn free_slots(&self) -> usize {
        self.pool.free_slots()
    }

    /// The number of instances in a call, and of idle instances.
    pub fn instances(&self) -> (u64, u64) {
        let idle = self.pool.idle_count();
        let held = (self.settings.slots as usize).saturating_sub(self.pool.free_slots());
        (held.saturating_sub(idle) as u64, idle as u64)
    }

    /// A store with all bounds set.
    pub(super) fn store(&self) -> Store<GuestState> {
        /// Handles of the component model. Guests only have streams and pollables, so this is
        /// generous.
        const MAX_HANDLES: usize = 10_000;
        let mut store = Store::new(
            &self.engine,
            GuestState::new(&self.settings, &self.guest_memory, &self.clock, &self.host),
        );
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.settings.transfer_bytes);
        store.set_max_component_handles(MAX_HANDLES);
        store.epoch_deadline_callback(|context| {
            context.data().meter.tick().map_err(wasmtime::Error::new)
        });
        store
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    v0_1::add_to_linker(&mut linker)?;
    Ok(linker)
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("settings", &self.settings)
            .field("free_slots", &self.free_slots())
            .finish_non_exhaustive()
    }
}
