//! The state in one instance's wasmtime store: an empty WASI context, the abilities of the current
//! call, and the outcomes that the guest reported so far.

use std::future::Future;
use std::sync::Arc;

use egression_core::domain::outcome::Outcome;
use egression_core::time::Mono;
use tokio::runtime::Handle;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::cpu_budget::{HostTrap, Meter};
use super::guest_log::{GuestLog, Stream};
use super::guest_memory::{GuestMemory, TotalMemory};
use super::reported_outcomes::ReportedOutcomes;
use super::wasi::Pollables;
use crate::clock::Clock;
use crate::runtime::connector_call::LogLevel;
use crate::runtime::guest_abilities::{Abilities, NoAbilities};
use crate::runtime::runtime_settings::RuntimeSettings;
use crate::telemetry::layer_cpu::Layer;

/// Entries of an instance's resource table: WASI's streams, pollables and the like.
const MAX_RESOURCES: usize = 4_096;
/// The most random bytes of one request.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;

pub struct GuestState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub memory: GuestMemory,
    pub meter: Meter,
    pub log: GuestLog,
    pub reported: ReportedOutcomes,
    pub abilities: Arc<dyn Abilities>,
    clock: Clock,
    host: Handle,
    deadline: Mono,
    kill_at: Mono,
}

impl GuestState {
    pub fn new(
        settings: &RuntimeSettings,
        total_memory: &Arc<TotalMemory>,
        clock: &Clock,
        host: &Handle,
    ) -> Self {
        let log = GuestLog::new(settings.log);
        let wasi = WasiCtx::builder()
            .stdout(log.stream(Stream::Output))
            .stderr(log.stream(Stream::Error))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(MAX_RANDOM_BYTES)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self {
            wasi,
            table,
            memory: GuestMemory::new(settings.memory_bytes, total_memory),
            meter: Meter::new(clock.clone()),
            log,
            reported: ReportedOutcomes::default(),
            abilities: Arc::new(NoAbilities),
            clock: clock.clone(),
            host: host.clone(),
            deadline: Mono::FAR,
            kill_at: Mono::FAR,
        }
    }

    /// Starts a call. Waiting ends at `deadline`; a guest that still runs at `kill_at` traps.
    pub fn begin(
        &mut self,
        abilities: Arc<dyn Abilities>,
        item_indices: Vec<u32>,
        meter: Meter,
        deadline: Mono,
        kill_at: Mono,
        cpu_budget_ms: u64,
    ) {
        self.log.begin(Arc::clone(&abilities));
        self.memory.begin();
        self.abilities = abilities;
        self.reported = ReportedOutcomes::new(item_indices);
        self.deadline = deadline;
        self.kill_at = kill_at;
        self.meter = meter;
        self.meter.begin(cpu_budget_ms, kill_at);
    }

    /// Ends the call and returns the reported outcomes. Nothing stays for the next call.
    pub fn finish(&mut self) -> Vec<(u32, Outcome)> {
        self.abilities = Arc::new(NoAbilities);
        std::mem::take(&mut self.reported).into_outcomes()
    }

    pub fn now(&self) -> Mono {
        self.clock.mono()
    }

    /// Runs an ability on the host's own threads, so that a guest that computes cannot delay the
    /// host's connections. If the ability does not return in time, the guest traps. The time that
    /// the ability computes counts as the guest's, not the time that it waits.
    pub async fn metered_on_host<R: Send + 'static>(
        &mut self,
        ability: impl Future<Output = R> + Send + 'static,
    ) -> wasmtime::Result<R> {
        let metered = self.meter.clone().on_other_thread(ability);
        self.on_host(metered).await
    }

    /// The same for requests, whose work for the network does not count.
    pub async fn on_host<R: Send + 'static>(
        &mut self,
        ability: impl Future<Output = R> + Send + 'static,
    ) -> wasmtime::Result<R> {
        self.meter.count_host_call();
        let running = self.host.spawn(Layer::Delivery.measure(ability));
        match tokio::time::timeout_at(self.clock.instant(self.kill_at), running).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failed)) => {
                tracing::error!(error = %failed, "a guest's ability failed");
                Err(wasmtime::Error::new(HostTrap::Ability))
            }
            Err(_) => Err(wasmtime::Error::new(HostTrap::Deadline)),
        }
    }

    /// Adds outcomes, and logs each one that is ignored.
    pub fn report(&mut self, outcomes: Vec<(u32, Outcome)>) {
        for (index, outcome) in outcomes {
            if let Err(ignored) = self.reported.add(index, outcome) {
                self.log.push(LogLevel::Warn, &ignored, None, &[]);
            }
        }
    }

    /// The state that WASI's poll needs.
    pub fn pollables(&mut self) -> Pollables<'_> {
        Pollables {
            table: &mut self.table,
            until: self.clock.instant(self.deadline),
            meter: &self.meter,
        }
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}
