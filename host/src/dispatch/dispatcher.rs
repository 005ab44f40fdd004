//! The dispatcher's handle, and its start.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::scheduler::{Scheduler, SchedulerBounds};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::engine::{Engine, Parts};
use super::health::Health;
use super::limit_forecast::GateForecast;
use super::message::Message;
use super::reads::Reads;
use super::settings::DispatchSettings;
use crate::delivery::Probe;
use crate::store::StoreError;
use crate::store::rows::Changes;
use crate::telemetry::layer_cpu::Layer;

/// The length of the queue to the dispatcher. Senders wait when it is full.
const QUEUE: usize = 4096;

/// A handle to the dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    messages: mpsc::Sender<Message>,
    pub(super) scheduler: Arc<Mutex<Scheduler>>,
}

impl Dispatcher {
    /// Recovers open intents, loads the open executions, and starts. Nothing is admitted before the
    /// first [`Dispatcher::configured`].
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
                "recovered intents that were open when the host stopped"
            );
        }
        let reads = Reads {
            store: parts.store.clone(),
            clock: parts.clock.clone(),
            messages: messages.clone(),
            page: u32::try_from(settings.page).unwrap_or(u32::MAX),
        };
        let mut engine = Engine {
            limits: GateForecast(Arc::clone(&parts.gate)),
            health: Health::new(settings),
            scheduler: Arc::clone(&scheduler),
            reads,
            messages: messages.clone(),
            next_call,
            running: 0,
            due: None,
            due_in_flight: false,
            probes: BTreeSet::new(),
            keeping: HashMap::new(),
            opening: HashMap::new(),
            draining: None,
            judged: false,
            parts,
        };
        engine.configure();
        for execution in engine.parts.store.open_executions().await? {
            engine.open(execution);
        }
        engine.fail_orphans(orphaned);
        engine.reads.when_due();
        tokio::spawn(Layer::Dispatch.measure(engine.run(incoming)));
        Ok(Self {
            messages,
            scheduler,
        })
    }

    pub async fn sealed(&self, execution: ExecutionSeq) {
        self.tell(Message::Sealed(execution)).await;
    }

    /// An execution was paused or resumed.
    pub async fn paused(&self, execution: ExecutionSeq, paused: bool) {
        self.tell(Message::Paused(execution, paused)).await;
    }

    /// People changed jobs: they canceled or deleted some.
    pub async fn changed(&self, changes: Changes) {
        self.tell(Message::Changed(changes)).await;
    }

    /// The configuration changed: documents, pauses, connectors.
    pub async fn configured(&self) {
        self.tell(Message::Configured).await;
    }

    /// Checks a connection, and reopens it if it works. `None`: the connection or the dispatcher is
    /// gone.
    pub async fn check(&self, connection: ConnectionId) -> Option<Probe> {
        let (found, answer) = oneshot::channel();
        self.tell(Message::Check(connection, found)).await;
        answer.await.ok().flatten()
    }

    /// Stops starting calls, and waits for the calls in flight.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        self.tell(Message::Drain(done)).await;
        // An error means that the dispatcher is gone, and so are its calls.
        let _ = drained.await;
    }

    async fn tell(&self, message: Message) {
        if self.messages.send(message).await.is_err() {
            tracing::debug!("the dispatcher has stopped");
        }
    }
}

#[cfg(test)]
impl Dispatcher {
    /// A dispatcher without a loop: its messages stay in the queue.
    pub fn detached() -> (Self, mpsc::Receiver<Message>) {
        let (messages, incoming) = mpsc::channel(QUEUE);
        let scheduler = Arc::new(Mutex::new(Scheduler::new(SchedulerBounds::default())));
        let dispatcher = Self {
            messages,
            scheduler,
        };
        (dispatcher, incoming)
    }
}
