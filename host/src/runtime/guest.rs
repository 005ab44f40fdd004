//! The state of one instance: what WASI shows it (nothing), what its current call may do, and what
//! it reported so far.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use egression_core::domain::outcome::Outcome;
use egression_core::time::Mono;
use tokio::runtime::Handle;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::abilities::{Abilities, NoAbilities};
use super::budget::{HostTrap, Meter};
use super::call::LogLevel;
use super::journal::{Journal, Stream};
use super::memory::MemoryBound;
use super::settings::RuntimeSettings;
use crate::clock::Clock;

/// Entries of an instance's resource table: streams, pollables and the like of WASI.
const MAX_RESOURCES: usize = 4_096;
/// The most random bytes of one request.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;

/// What the store of one instance carries.
pub(super) struct GuestState {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) memory: MemoryBound,
    pub(super) meter: Meter,
    pub(super) journal: Journal,
    pub(super) settled: Settled,
    pub(super) abilities: Arc<dyn Abilities>,
    clock: Clock,
    host: Handle,
    deadline: Mono,
    end: Mono,
}

impl GuestState {
    pub(super) fn new(settings: &RuntimeSettings, clock: &Clock, host: &Handle) -> Self {
        let journal = Journal::new(settings.log);
        let wasi = WasiCtx::builder()
            .stdout(journal.stream(Stream::Output))
            .stderr(journal.stream(Stream::Error))
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
            memory: MemoryBound::new(settings.memory_bytes),
            meter: Meter::new(clock.clone()),
            journal,
            settled: Settled::default(),
            abilities: Arc::new(NoAbilities),
            clock: clock.clone(),
            host: host.clone(),
            deadline: Mono::FAR,
            end: Mono::FAR,
        }
    }

    /// Starts a call with these abilities, which must be over at `deadline` and is ended by force
    /// at `end`.
    pub(super) fn begin(
        &mut self,
        abilities: Arc<dyn Abilities>,
        asked: Vec<u32>,
        deadline: Mono,
        end: Mono,
        budget_ms: u64,
    ) {
        self.journal.begin(Arc::clone(&abilities));
        self.memory.begin();
        self.abilities = abilities;
        self.settled = Settled::new(asked);
        self.deadline = deadline;
        self.end = end;
        self.meter.begin(budget_ms, end);
    }

    /// Ends the call: nothing of it is left for the next one.
    pub(super) fn finish(&mut self) -> Vec<(u32, Outcome)> {
        self.abilities = Arc::new(NoAbilities);
        std::mem::take(&mut self.settled).outcomes
    }

    pub(super) fn now(&self) -> Mono {
        self.clock.mono()
    }

    /// Runs an ability on the host's own threads, so that a guest that computes cannot hold up the
    /// host's connections. It ends by itself at the deadline; if not, the guest ends.
    pub(super) async fn on_host<R: Send + 'static>(
        &mut self,
        ability: impl Future<Output = R> + Send + 'static,
    ) -> wasmtime::Result<R> {
        let running = self.host.spawn(ability);
        match tokio::time::timeout_at(self.clock.instant(self.end), running).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failed)) => {
                tracing::error!(error = %failed, "an ability of a guest failed");
                Err(wasmtime::Error::new(HostTrap::Ability))
            }
            Err(_) => Err(wasmtime::Error::new(HostTrap::Deadline)),
        }
    }

    /// Takes outcomes: the first answer per index that was asked.
    pub(super) fn settle(&mut self, outcomes: Vec<(u32, Outcome)>) {
        for (index, outcome) in outcomes {
            if let Err(remark) = self.settled.take(index, outcome) {
                self.journal.push(LogLevel::Warn, &remark, None, &[]);
            }
        }
    }

    /// What WASI's poll needs: the table of pollables, and when waiting ends.
    pub(super) fn waiting(&mut self) -> super::wasi::Waiting<'_> {
        super::wasi::Waiting {
            table: &mut self.table,
            until: self.clock.instant(self.deadline),
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

/// The outcomes of a call so far.
#[derive(Default)]
pub(super) struct Settled {
    /// Every index asked for, with the place of its answer.
    asked: HashMap<u32, Option<usize>>,
    outcomes: Vec<(u32, Outcome)>,
}

impl Settled {
    fn new(asked: impl IntoIterator<Item = u32>) -> Self {
        Self {
            asked: asked.into_iter().map(|index| (index, None)).collect(),
            outcomes: Vec::new(),
        }
    }

    /// How many there are: those that come later are past this number.
    pub(super) fn count(&self) -> usize {
        self.outcomes.len()
    }

    /// Takes out those past a number.
    pub(super) fn split_off(&mut self, count: usize) -> Vec<(u32, Outcome)> {
        self.outcomes.split_off(count.min(self.outcomes.len()))
    }

    fn take(&mut self, index: u32, outcome: Outcome) -> Result<(), String> {
        match self.asked.get_mut(&index) {
            None => Err(format!(
                "an outcome for item {index} is ignored: that item is not in this call"
            )),
            Some(Some(place))
                if self
                    .outcomes
                    .get(*place)
                    .is_some_and(|(_, first)| *first == outcome) =>
            {
                Ok(())
            }
            Some(Some(_)) => Err(format!(
                "item {index} was answered twice; the first answer counts"
            )),
            Some(unanswered) => {
                *unanswered = Some(self.outcomes.len());
                self.outcomes.push((index, outcome));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_of_an_asked_index_counts() {
        let mut settled = Settled::new([1, 2]);
        assert!(settled.take(1, Outcome::NotAttempted).is_ok());
        assert!(
            settled.take(1, Outcome::NotAttempted).is_ok(),
            "the same again is no contradiction"
        );
        assert!(settled.take(1, Outcome::BlockedOn(Vec::new())).is_err());
        assert!(settled.take(3, Outcome::NotAttempted).is_err());
        let reported = settled.count();
        assert!(settled.take(2, Outcome::NotAttempted).is_ok());
        assert_eq!(settled.split_off(reported), [(2, Outcome::NotAttempted)]);
        assert_eq!(settled.outcomes, [(1, Outcome::NotAttempted)]);
    }
}
