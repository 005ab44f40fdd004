//! The loop: it reports to the scheduler what happened, and starts the calls that the scheduler
//! chooses.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, TypeHash};
use egression_core::scheduler::{LaneKey, Scheduler};
use egression_core::time::{Mono, Wall};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;
use tracing::Instrument as _;

use super::health::Health;
use super::limit_forecast::{GateForecast, owner};
use super::message::Message;
use super::reads::Reads;
use crate::clock::Clock;
use crate::delivery::{Deliverer, Finished};
use crate::documents::configuration::Configuration;
use crate::gate::Gate;
use crate::rng::Rng;
use crate::runtime::Registry;
use crate::store::Store;
use crate::store::rows::LanePage;
use crate::telemetry::layer_cpu::Layer;
use crate::telemetry::spans;

/// The host's parts that the dispatcher drives.
#[derive(Clone, Debug)]
pub struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub rng: Rng,
    pub gate: Arc<Gate>,
    pub configuration: Arc<Configuration>,
    pub registry: Arc<Registry>,
    pub deliverer: Arc<Deliverer>,
}

pub(super) struct Engine {
    pub(super) parts: Parts,
    pub(super) scheduler: Arc<Mutex<Scheduler>>,
    pub(super) limits: GateForecast,
    pub(super) reads: Reads,
    pub(super) health: Health,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) next_call: i64,
    pub(super) running: usize,
    /// When the next stored wait ends.
    pub(super) due: Option<Wall>,
    pub(super) due_in_flight: bool,
    /// When connections are probed; each connection at most once.
    pub(super) probes: BTreeSet<(Mono, ConnectionId)>,
    /// Connections whose state is being written, with the number of writes.
    pub(super) keeping: HashMap<ConnectionId, u32>,
    /// Executions that are being read, and whether they changed since the read began.
    pub(super) opening: HashMap<ExecutionSeq, bool>,
    pub(super) draining: Option<oneshot::Sender<()>>,
    /// The settings of all connections were judged after the start. Until then, no job is admitted.
    pub(super) judged: bool,
}

impl Engine {
    pub(super) async fn run(mut self, mut incoming: mpsc::Receiver<Message>) {
        let gate = Arc::clone(&self.parts.gate);
        loop {
            self.pump();
            if self.running == 0
                && let Some(done) = self.draining.take()
            {
                // The caller may have stopped waiting.
                let _ = done.send(());
                return;
            }
            let wake = self.parts.clock.instant(self.next_wake());
            tokio::select! {
                message = incoming.recv() => {
                    let Some(message) = message else { return };
                    self.handle(message).await;
                    while let Ok(message) = incoming.try_recv() {
                        self.handle(message).await;
                    }
                }
                () = gate.headroom_changed().notified() => self.limits_freed(),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn next_wake(&self) -> Mono {
        let due = self
            .due
            .filter(|_| !self.due_in_flight)
            .map(|at| self.parts.clock.mono_of(at));
        let probe = self.probes.first().map(|(at, _)| *at);
        let timer = self.scheduler.lock().timer();
        [due, probe, timer]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Mono::FAR)
    }

    /// Starts everything that may start now.
    fn pump(&mut self) {
        let now = self.parts.clock.mono();
        self.become_due();
        self.start_probes(now);
        if self.draining.is_some() || !self.judged {
            return;
        }
        let mut claims = Vec::new();
        {
            let mut scheduler = self.scheduler.lock();
            loop {
                let claim = scheduler.next(now, &self.limits);
                let Some(claim) = claim else { break };
                self.parts
                    .gate
                    .reserve(owner(claim.connection), claim.requests);
                claims.push(claim);
            }
            self.reads.start(scheduler.needs());
            for connection in scheduler.connections() {
                self.parts
                    .gate
                    .set_demand(owner(connection), scheduler.waits_for_limit(connection));
            }
        }
        for claim in claims {
            self.running += 1;
            let call = self.next_call;
            self.next_call += 1;
            let (deliverer, messages) = (Arc::clone(&self.parts.deliverer), self.messages.clone());
            let type_hash = claim.type_hash;
            let span = spans::call(&self.label(claim.connection), call);
            let delivery = async move {
                let (connection, heads) = (claim.connection, claim.heads.clone());
                // In a task of its own, so that a panic in one delivery does not leave its call
                // counted forever.
                let delivery = async move { deliverer.deliver(claim, call).await };
                let delivery = Layer::Delivery.measure(delivery.in_current_span());
                let delivery = tokio::spawn(delivery);
                let finished = delivery.await.unwrap_or_else(|error| {
                    tracing::error!(
                        %error,
                        "delivery task failed; the next start recovers its open intents"
                    );
                    Finished::abandoned(connection, heads)
                });
                // The dispatcher outlives its deliveries.
                let _ = messages
                    .send(Message::Finished(Box::new(finished), type_hash))
                    .await;
            };
            tokio::spawn(Layer::Dispatch.measure(delivery.instrument(span)));
        }
    }

    /// The connection's name in logs: `acme/shop-de`.
    pub(super) fn label(&self, connection: ConnectionId) -> String {
        self.parts
            .configuration
            .catalogue()
            .connection_by_id(connection)
            .map_or_else(|| format!("removed ({connection})"), |found| found.label())
    }

    async fn handle(&mut self, message: Message) {
        let now = self.parts.clock.mono();
        match message {
            Message::Sealed(execution) => {
                self.opening.insert(execution, false);
                self.reads.sealed(execution);
            }
            Message::Opened(execution, open) => self.opened(execution, open),
            Message::Paused(execution, paused) => {
                self.scheduler.lock().pause(execution, paused);
                // Two of these messages may arrive in the wrong order, so the store has the last
                // word.
                self.look_at(execution);
            }
            Message::Changed(changes) => self.changed(changes),
            Message::Configured => {
                self.judged = true;
                self.configure();
            }
            Message::Page(lane, page) => self.page(lane, page, now),
            Message::Heads(heads) => self.scheduler.lock().found(&heads, now),
            Message::Due(heads, changes) => {
                self.scheduler.lock().found(&heads, now);
                self.changed(changes);
            }
            Message::NextDue(at) => {
                self.due_in_flight = false;
                // A wait that was written during this read may end earlier than the one found. An
                // early look costs little.
                self.note_due(at);
            }
            Message::Finished(finished, type_hash) => self.finished(*finished, type_hash, now),
            Message::Check(connection, asked) => self.probe(connection, Some(asked)),
            Message::Probed(connection, probe) => self.probed(connection, probe, now).await,
            Message::Kept(connection) => self.kept(connection),
            Message::Drain(done) => {
                self.draining = Some(done);
                self.parts.gate.ask_to_stop();
            }
        }
    }

    fn page(&mut self, lane: LaneKey, page: LanePage, now: Mono) {
        self.reads.mark_blocked(page.blocked);
        self.scheduler
            .lock()
            .page(lane, &page.heads, &page.held, page.next, now);
    }

    fn finished(&mut self, finished: Finished, type_hash: TypeHash, now: Mono) {
        self.running -= 1;
        {
            let mut scheduler = self.scheduler.lock();
            let (connection, items) = (finished.connection, finished.items);
            scheduler.sent(connection, type_hash, items, finished.requests);
            scheduler.ended(connection, type_hash, &finished.jobs, now);
        }
        self.note_due(finished.due);
        self.changed(finished.changes);
        let step = self.health.after_call(
            finished.connection,
            &finished.effect,
            now,
            self.parts.rng.jitter(),
        );
        self.take_step(finished.connection, step, &finished.effect);
    }

    fn limits_freed(&mut self) {
        let mut scheduler = self.scheduler.lock();
        let connections: Vec<_> = scheduler.connections().collect();
        for connection in connections {
            scheduler.limits_changed(connection);
        }
    }
}
