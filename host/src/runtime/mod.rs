//! The WASM engine: which connectors are there, how they are called, what they may do.
//!
//! - [`Runtime`] compiles components, checks them at installation, and runs guests on threads of
//!   its own.
//! - [`Connector`] is one checked version; its methods are the calls of the contract.
//! - [`Registry`] keeps the installed versions and says which one new calls take.
//! - [`abilities::Abilities`] is what a guest can do to the world; whoever starts a call hands it
//!   in.
//!
//! It promises that every call ends, at the latest `grace_ms` after its deadline, whatever the
//! guest does: it computes within a CPU budget and yields every tick, waits within the deadline,
//! and has bounded memory, lines and handles. It promises that outcomes reported before a trap
//! survive it, and that no guest sees another tenant's memory. What a call's outcome means for a
//! job is decided elsewhere.

pub mod abilities;
mod asks;
mod budget;
pub mod call;
mod check_description;
mod compiled;
mod compiler;
mod component_files;
mod connector;
pub mod description;
mod difference;
mod engine;
mod examine;
mod guest;
mod install_error;
mod journal;
mod memory;
mod registry;
mod run;
pub mod settings;
mod slots;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod v0_1;
pub mod version;
mod wasi;

use std::sync::Arc;

use tokio::runtime::Handle;
use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

pub use connector::Connector;
pub use examine::Inspected;
pub use install_error::InstallError;
pub use registry::{ConnectorStore, Installed, InstalledVersion, Registry};
pub use settings::RuntimeSettings;

use crate::clock::Clock;
use compiled::CodeCache;
use compiler::Compiler;
use guest::GuestState;
use slots::Slots;

/// The engine with its threads. One per host.
pub struct Runtime {
    settings: RuntimeSettings,
    clock: Clock,
    engine: Engine,
    linker: Linker<GuestState>,
    cache: CodeCache,
    slots: Slots,
    compiler: Compiler,
    /// The host's own threads, on which abilities run.
    host: Handle,
    guests: Handle,
    /// Ended with the runtime; `None` only while it is dropped.
    guest_threads: Option<tokio::runtime::Runtime>,
}

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine's own word: most often too little address space for `runtime.slots`.
    #[error("the WASM engine does not start: {0}")]
    Engine(String),
    /// There is no tokio runtime for the abilities.
    #[error("the WASM engine must be started on the host's tokio runtime")]
    NoHost,
    /// A thread could not be started.
    #[error("the threads of the guests do not start: {0}")]
    Threads(#[from] std::io::Error),
}

impl Runtime {
    /// Starts the engine and the guests' threads. To be called on the host's tokio runtime, where
    /// abilities will run.
    ///
    /// # Errors
    /// When the engine cannot reserve its slots, or a thread cannot be started.
    pub fn start(settings: RuntimeSettings, clock: Clock) -> Result<Arc<Self>, RuntimeError> {
        let host = Handle::try_current().map_err(|_| RuntimeError::NoHost)?;
        let engine = engine::engine(&settings)
            .map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let linker = linker(&engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        engine::start_ticker(&engine)?;
        let guest_threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.workers.max(1))
            .thread_name("egression-guest")
            // A guest that loops runs for a whole tick at a time: deadlines and answers must be
            // looked at between two ticks, not between sixty.
            .event_interval(2)
            .global_queue_interval(2)
            .enable_time()
            .build()?;
        let runtime = Arc::new(Self {
            cache: CodeCache::new(&engine, &settings.cache_dir, &settings.cache_key),
            slots: Slots::new(settings.slots),
            compiler: Compiler::start()?,
            host,
            guests: guest_threads.handle().clone(),
            guest_threads: Some(guest_threads),
            settings,
            clock,
            engine,
            linker,
        });
        runtime.sweep_idle();
        Ok(runtime)
    }

    /// Drops instances that are idle for too long, for as long as the runtime is there.
    fn sweep_idle(self: &Arc<Self>) {
        let (runtime, clock, idle_ms) = (
            Arc::downgrade(self),
            self.clock.clone(),
            self.settings.idle_instance_ms.max(1),
        );
        self.guests.spawn(async move {
            loop {
                // Half the time, so that none stays for more than one and a half of it.
                tokio::time::sleep_until(clock.instant(clock.mono().plus_ms(idle_ms.div_ceil(2))))
                    .await;
                let Some(runtime) = runtime.upgrade() else {
                    return;
                };
                runtime.slots.drop_idle(clock.mono(), idle_ms);
            }
        });
    }

    /// Slots that no instance holds.
    #[must_use]
    pub fn free_slots(&self) -> usize {
        self.slots.free()
    }

    /// Instances in a call, and instances kept for the next one.
    #[must_use]
    pub fn instances(&self) -> (u64, u64) {
        let idle = self.slots.kept();
        let held = (self.settings.slots as usize).saturating_sub(self.slots.free());
        (held.saturating_sub(idle) as u64, idle as u64)
    }

    const fn guests(&self) -> &Handle {
        &self.guests
    }

    /// An empty store with every bound set.
    fn store(&self) -> Store<GuestState> {
        /// Handles of the component model: generous for streams and pollables, which is all a guest
        /// has.
        const MAX_HANDLES: usize = 10_000;
        let mut store = Store::new(
            &self.engine,
            GuestState::new(&self.settings, &self.clock, &self.host),
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

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(threads) = self.guest_threads.take() {
            // Guests that still run end at their next tick.
            threads.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime")
            .field("settings", &self.settings)
            .field("free_slots", &self.free_slots())
            .finish_non_exhaustive()
    }
}
