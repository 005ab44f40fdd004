//! The loop: what happened goes into the scheduler, what it chooses is started.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, TypeHash};
use egression_core::scheduler::{Availability, LaneKey, Scheduler, SchedulerBounds};
use egression_core::time::{Mono, Wall};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::health::{Health, Step};
use super::reads::Reads;
use super::room::{GateForecast, owner};
use super::rules::{availability_of, rules_of};
use super::settings::DispatchSettings;
use super::{Dispatcher, Message, QUEUE, lock};
use crate::clock::Clock;
use crate::delivery::{Deliverer, Effect, Finished, Probe};
use crate::documents::catalogue::ConnectionState;
use crate::documents::configuration::Configuration;
use crate::gate::Gate;
use crate::rng::Rng;
use crate::runtime::Registry;
use crate::store::rows::{Changes, LanePage, OpenExecution};
use crate::store::{Store, StoreError};

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

struct Engine {
    parts: Parts,
    scheduler: Arc<Mutex<Scheduler>>,
    room: GateForecast,
    reads: Reads,
    health: Health,
    messages: mpsc::Sender<Message>,
    next_call: i64,
    running: usize,
    /// When the next stored wait ends.
    due: Option<Wall>,
    due_under_way: bool,
    /// When connections are checked; each at most once.
    probes: BTreeSet<(Mono, ConnectionId)>,
    /// Connections whose state is being written, and how often.
    keeping: HashMap<ConnectionId, u32>,
    /// Sealed executions that are being read, and whether something happened to them meanwhile.
    opening: HashMap<ExecutionSeq, bool>,
    draining: Option<oneshot::Sender<()>>,
}

impl Dispatcher {
    /// Takes up what the store holds and starts.
    pub async fn start(parts: Parts, settings: DispatchSettings) -> Result<Self, StoreError> {
        let (messages, incoming) = mpsc::channel(QUEUE);
        let bounds = SchedulerBounds {
            window: settings.window,
            page: settings.page,
            ..SchedulerBounds::default()
        };
        let scheduler = Arc::new(Mutex::new(Scheduler::new(bounds)));
        let next_call = parts.store.last_call().await? + 1;
        let (recovered, orphaned) = parts.deliverer.recover().await?;
        if recovered > 0 {
            tracing::info!(
                intents = recovered,
                "took up intents that were open when the host stopped"
            );
        }
        let reads = Reads {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            messages: messages.clone(),
            page: u32::try_from(settings.page).unwrap_or(u32::MAX),
        };
        let mut engine = Engine {
            room: GateForecast(Arc::clone(&parts.gate)),
            health: Health::new(settings),
            scheduler: Arc::clone(&scheduler),
            reads,
            messages: messages.clone(),
            next_call,
            running: 0,
            due: None,
            due_under_way: false,
            probes: BTreeSet::new(),
            keeping: HashMap::new(),
            opening: HashMap::new(),
            draining: None,
            parts,
        };
        engine.configure();
        for execution in engine.parts.store.open_executions().await? {
            engine.open(execution);
        }
        engine.fail_orphans(orphaned);
        engine.reads.when_due();
        tokio::spawn(engine.run(incoming));
        Ok(Self {
            messages,
            scheduler,
        })
    }
}

impl Engine {
    async fn run(mut self, mut incoming: mpsc::Receiver<Message>) {
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
            .filter(|_| !self.due_under_way)
            .map(|at| self.parts.clock.mono_of(at));
        let probe = self.probes.first().map(|(at, _)| *at);
        let timer = lock(&self.scheduler).timer();
        [due, probe, timer]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Mono::FAR)
    }

    /// Starts everything that may start now.
    fn pump(&mut self) {
        let now = self.parts.clock.mono();
        self.fall_due();
        self.start_probes(now);
        if self.draining.is_some() {
            return;
        }
        let mut claims = Vec::new();
        {
            let mut scheduler = lock(&self.scheduler);
            loop {
                let claim = scheduler.next(now, &self.room);
                let Some(claim) = claim else { break };
                self.parts
                    .gate
                    .reserve(&owner(claim.connection), claim.requests);
                claims.push(claim);
            }
            self.reads.start(scheduler.needs());
            for connection in scheduler.connections() {
                self.parts
                    .gate
                    .set_demand(&owner(connection), scheduler.waits_for_limit(connection));
            }
        }
        for claim in claims {
            self.running += 1;
            let call = self.next_call;
            self.next_call += 1;
            let (deliverer, messages) = (Arc::clone(&self.parts.deliverer), self.messages.clone());
            let type_hash = claim.type_hash;
            tokio::spawn(async move {
                let (connection, heads) = (claim.connection, claim.heads.clone());
                // In a task of its own: a defect in one delivery must not leave its call counted
                // for ever.
                let delivery = tokio::spawn(async move { deliverer.deliver(claim, call).await });
                let finished = delivery.await.unwrap_or_else(|error| {
                    tracing::error!(%error, %connection, call, "a delivery failed; open intents \
                                                                are taken up at the next start");
                    Finished::abandoned(connection, heads)
                });
                // The dispatcher outlives its deliveries.
                let _ = messages
                    .send(Message::Finished(Box::new(finished), type_hash))
                    .await;
            });
        }
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
                lock(&self.scheduler).pause(execution, paused);
                // Two of these may come in another order than they were written in: the store has
                // the last word.
                self.look_at(execution);
            }
            Message::Changed(changes) => self.changed(changes),
            Message::Configured => self.configure(),
            Message::Page(lane, page) => self.page(lane, page, now),
            Message::Heads(heads) => lock(&self.scheduler).found(&heads, now),
            Message::Due(heads, changes) => {
                lock(&self.scheduler).found(&heads, now);
                self.changed(changes);
            }
            Message::NextDue(at) => {
                self.due_under_way = false;
                // A wait that was written while this was read may end earlier than what was found;
                // too early a look costs little.
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

    fn opened(&mut self, execution: ExecutionSeq, open: Option<Box<OpenExecution>>) {
        if self.opening.remove(&execution) == Some(true) {
            self.opening.insert(execution, false);
            self.reads.sealed(execution);
        } else if let Some(open) = open {
            // Its jobs may be scheduled, or expire.
            self.reads.when_due();
            self.open(*open);
        }
    }

    /// Reads an execution, again if it is being read.
    fn look_at(&mut self, execution: ExecutionSeq) {
        match self.opening.get_mut(&execution) {
            Some(outdated) => *outdated = true,
            None => {
                self.opening.insert(execution, false);
                self.reads.sealed(execution);
            }
        }
    }

    /// What is being read of an execution may be older than what was just told of it.
    fn outdate(&mut self, execution: ExecutionSeq) {
        if let Some(outdated) = self.opening.get_mut(&execution) {
            *outdated = true;
        }
    }

    fn open(&mut self, execution: OpenExecution) {
        let belts = execution
            .progress
            .iter()
            .filter(|row| row.connection.0 != 0)
            .map(|row| (row.connection, row.belt));
        lock(&self.scheduler).open(execution.seq, execution.paused, belts);
    }

    fn page(&mut self, lane: LaneKey, page: LanePage, now: Mono) {
        self.reads.mark_blocked(page.blocked);
        lock(&self.scheduler).page(lane, &page.heads, &page.held, page.next, now);
    }

    fn finished(&mut self, finished: Finished, type_hash: TypeHash, now: Mono) {
        self.running -= 1;
        lock(&self.scheduler).ended(finished.connection, type_hash, &finished.jobs, now);
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

    /// What a change in the store means for the scheduler.
    fn changed(&mut self, changes: Changes) {
        for execution in changes
            .progress
            .iter()
            .map(|row| row.execution)
            .chain(changes.completed.iter().copied())
        {
            self.outdate(execution);
        }
        {
            let mut scheduler = lock(&self.scheduler);
            scheduler.gone(&changes.gone);
            scheduler.progress_of(
                changes
                    .progress
                    .iter()
                    .map(|row| (row.execution, row.connection, row.belt)),
            );
            for execution in &changes.completed {
                scheduler.close(*execution);
            }
        }
        self.reads.released(changes.released);
        self.fail_orphans(changes.orphaned);
    }

    fn fail_orphans(&self, orphans: Vec<JobSeq>) {
        if orphans.is_empty() {
            return;
        }
        let (deliverer, messages) = (Arc::clone(&self.parts.deliverer), self.messages.clone());
        tokio::spawn(async move {
            let changes = deliverer.fail_orphans(&orphans).await;
            // The dispatcher is gone only when the host stops.
            let _ = messages.send(Message::Changed(changes)).await;
        });
    }

    fn note_due(&mut self, at: Option<Wall>) {
        self.due = self.due.into_iter().chain(at).min();
    }

    fn fall_due(&mut self) {
        let now = self.parts.clock.wall();
        if !self.due_under_way && self.due.is_some_and(|at| at <= now) {
            self.due_under_way = true;
            self.due = None;
            self.reads.due(now);
        }
    }

    fn limits_freed(&mut self) {
        let mut scheduler = lock(&self.scheduler);
        let connections: Vec<_> = scheduler.connections().collect();
        for connection in connections {
            scheduler.limits_changed(connection);
        }
    }

    /// Takes over documents, manifests and pauses.
    fn configure(&mut self) {
        let catalogue = self.parts.configuration.catalogue();
        let now = self.parts.clock.mono();
        let mut present = Vec::new();
        for connection in catalogue.connections() {
            let channel = &connection.channel.document;
            let Some(description) = self
                .parts
                .registry
                .description(&channel.connector, channel.version.as_deref())
            else {
                continue;
            };
            present.push(connection.id);
            let mut scheduler = lock(&self.scheduler);
            scheduler.connect(rules_of(connection, &description));
            let wanted = availability_of(connection);
            let circuit_open = matches!(
                scheduler.availability(connection.id),
                Some(Availability::CircuitOpen(_))
            );
            match &wanted {
                // A state that the host found stays until a probe says otherwise, also while
                // it is being written down.
                Availability::Open if circuit_open || self.keeping.contains_key(&connection.id) => {
                }
                Availability::Open => {
                    // What a healthy connection counts is not forgotten for a change of documents.
                    if self.health.is_closed(connection.id) {
                        self.health.reopened(connection.id);
                    }
                    scheduler.set_availability(connection.id, wanted);
                }
                Availability::Parked(_) if !self.health.is_closed(connection.id) => {
                    let at = self
                        .health
                        .found_parked(connection.id, now, self.parts.rng.jitter());
                    plan_probe(&mut self.probes, at, connection.id);
                    scheduler.set_availability(connection.id, wanted);
                }
                _ => scheduler.set_availability(connection.id, wanted),
            }
        }
        let mut scheduler = lock(&self.scheduler);
        let known: Vec<_> = scheduler.connections().collect();
        for gone in known.into_iter().filter(|id| !present.contains(id)) {
            scheduler.disconnect(gone);
        }
        drop(scheduler);
        self.parts.deliverer.forget_removed();
    }

    fn take_step(&mut self, connection: ConnectionId, step: Step, effect: &Effect) {
        if step != Step::Nothing
            && matches!(
                lock(&self.scheduler).availability(connection),
                Some(Availability::Paused)
            )
        {
            // A user's pause stays. The resume shows whether the connection works.
            self.health.reopened(connection);
            return;
        }
        match step {
            Step::Nothing => {}
            Step::OpenCircuit(until) => {
                tracing::warn!(%connection, ?effect, "circuit opened");
                plan_probe(&mut self.probes, until, connection);
                lock(&self.scheduler)
                    .set_availability(connection, Availability::CircuitOpen(until));
            }
            Step::Park(reason, probe_at) => {
                tracing::warn!(%connection, reason, "connection parked");
                plan_probe(&mut self.probes, probe_at, connection);
                lock(&self.scheduler)
                    .set_availability(connection, Availability::Parked(reason.clone()));
                self.keep_state(connection, ConnectionState::Parked { reason });
            }
        }
    }

    fn keep_state(&mut self, connection: ConnectionId, state: ConnectionState) {
        *self.keeping.entry(connection).or_default() += 1;
        let (configuration, messages) =
            (Arc::clone(&self.parts.configuration), self.messages.clone());
        tokio::spawn(async move {
            if let Err(error) = configuration
                .keep_connection_state(connection, &state, None)
                .await
            {
                tracing::warn!(%error, %connection, "a connection's state could not be kept");
            }
            // The dispatcher is gone only when the host stops.
            let _ = messages.send(Message::Kept(connection)).await;
        });
    }

    /// A state of a connection was written: from now on the documents are right about it.
    fn kept(&mut self, connection: ConnectionId) {
        match self.keeping.get_mut(&connection) {
            Some(writes) if *writes > 1 => *writes -= 1,
            _ => {
                self.keeping.remove(&connection);
                self.configure();
            }
        }
    }

    fn start_probes(&mut self, now: Mono) {
        while let Some((at, connection)) = self.probes.first().copied().filter(|(at, _)| *at <= now)
        {
            self.probes.remove(&(at, connection));
            if !self.health.is_closed(connection) {
                continue;
            }
            self.probe(connection, None);
        }
    }

    /// Checks a connection, and tells who asked for it.
    fn probe(&self, connection: ConnectionId, asked: Option<oneshot::Sender<Option<Probe>>>) {
        let (deliverer, messages) = (Arc::clone(&self.parts.deliverer), self.messages.clone());
        tokio::spawn(async move {
            let probe = deliverer.check(connection).await;
            // A failure that a person asked for changes nothing: neither when the next probe is
            // made, nor what is open.
            if asked.is_none() || matches!(probe, Some(Probe::Works(_))) {
                // The dispatcher is gone only when the host stops.
                let _ = messages
                    .send(Message::Probed(connection, probe.clone()))
                    .await;
            }
            if let Some(asked) = asked {
                // The caller may have disconnected.
                let _ = asked.send(probe);
            }
        });
    }

    async fn probed(&mut self, connection: ConnectionId, probe: Option<Probe>, now: Mono) {
        match probe {
            // It was not there when it was looked at: gone for good, or about to come.
            None if self
                .parts
                .configuration
                .catalogue()
                .connection_by_id(connection)
                .is_none() =>
            {
                self.health.reopened(connection)
            }
            None => {
                self.probe_again(connection, now);
            }
            Some(Probe::Works(findings)) => {
                tracing::info!(%connection, account = findings.account, "connection works again");
                self.health.reopened(connection);
                let catalogue = self.parts.configuration.catalogue();
                let entry = catalogue.connection_by_id(connection);
                // A person's pause holds, whatever the probe found.
                let next = entry
                    .map(|entry| availability_of(entry))
                    .filter(|availability| *availability == Availability::Paused)
                    .unwrap_or(Availability::Open);
                let was_parked = matches!(
                    lock(&self.scheduler).availability(connection),
                    Some(Availability::Parked(_))
                );
                lock(&self.scheduler).set_availability(connection, next);
                if was_parked
                    || entry
                        .is_some_and(|entry| matches!(entry.state, ConnectionState::Parked { .. }))
                {
                    self.keep_state(connection, ConnectionState::Active);
                }
            }
            Some(Probe::Fails(problem) | Probe::Refused(problem)) => {
                tracing::warn!(%connection, problem = problem.message,
                    "connection still does not work");
                let Some(at) = self.probe_again(connection, now) else {
                    return;
                };
                let mut scheduler = lock(&self.scheduler);
                if matches!(
                    scheduler.availability(connection),
                    Some(Availability::CircuitOpen(_))
                ) {
                    scheduler.set_availability(connection, Availability::CircuitOpen(at));
                }
            }
        }
    }

    /// Plans the next probe of a connection after one that failed, unless it was reopened.
    fn probe_again(&mut self, connection: ConnectionId, now: Mono) -> Option<Mono> {
        let random = self.parts.rng.jitter();
        let at = self.health.probe_failed(connection, now, random)?;
        plan_probe(&mut self.probes, at, connection);
        Some(at)
    }
}

/// The next check of a connection, in place of one that was planned before.
fn plan_probe(probes: &mut BTreeSet<(Mono, ConnectionId)>, at: Mono, connection: ConnectionId) {
    probes.retain(|(_, planned)| *planned != connection);
    probes.insert((at, connection));
}
