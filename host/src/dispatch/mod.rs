//! Drives the core's scheduler with the real clock, the store and the limits: reads what it needs,
//! starts the calls it chooses, and tells it how they ended.
//!
//! One task owns every decision. Reads and deliveries run concurrently and answer through its
//! channel, so that nothing is decided on half of what happened.

mod engine;
mod health;
mod reads;
mod room;
mod rules;
pub mod settings;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, TypeHash};
use egression_core::scheduler::{Head, LaneKey, Scheduler};
use egression_core::time::Wall;
use tokio::sync::{mpsc, oneshot};

pub use engine::Parts;
pub use view::{View, WaitingGroup};

use crate::delivery::{Finished, Probe};
use crate::store::rows::{Changes, LanePage, OpenExecution};

/// The queue to the dispatcher. Senders wait when it is full.
const QUEUE: usize = 4096;

#[derive(Debug)]
pub enum Message {
    Sealed(ExecutionSeq),
    /// An execution was paused or resumed.
    Paused(ExecutionSeq, bool),
    /// People or time changed jobs outside of a call.
    Changed(Changes),
    Configured,
    /// A sealed execution was read; none: it is done.
    Opened(ExecutionSeq, Option<Box<OpenExecution>>),
    Page(LaneKey, LanePage),
    /// Heads were read: of keys that came free, or jobs whose wait for others ended.
    Heads(Vec<Head>),
    Due(Vec<Head>, Changes),
    /// When the next wait ends.
    NextDue(Option<Wall>),
    Finished(Box<Finished>, TypeHash),
    /// A person asks whether a connection works; answered when it is known here, too.
    Check(ConnectionId, oneshot::Sender<Option<Probe>>),
    Probed(ConnectionId, Option<Probe>),
    /// A connection's state was written.
    Kept(ConnectionId),
    /// Stop admitting; answered when no call is in flight.
    Drain(oneshot::Sender<()>),
}

/// The entrance to the dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    messages: mpsc::Sender<Message>,
    scheduler: Arc<Mutex<Scheduler>>,
}

impl Dispatcher {
    pub async fn sealed(&self, execution: ExecutionSeq) {
        self.tell(Message::Sealed(execution)).await;
    }

    /// An execution was paused or resumed.
    pub async fn paused(&self, execution: ExecutionSeq, paused: bool) {
        self.tell(Message::Paused(execution, paused)).await;
    }

    /// People changed jobs: cancelled, deleted.
    pub async fn changed(&self, changes: Changes) {
        self.tell(Message::Changed(changes)).await;
    }

    /// The configuration changed: documents, pauses, connectors.
    pub async fn configured(&self) {
        self.tell(Message::Configured).await;
    }

    /// Checks a connection, and resumes it if it was closed and works; none if it is gone, or
    /// the dispatcher is.
    pub async fn check(&self, connection: ConnectionId) -> Option<Probe> {
        let (found, answer) = oneshot::channel();
        self.tell(Message::Check(connection, found)).await;
        answer.await.ok().flatten()
    }

    /// Stops admitting and waits for the calls in flight.
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
        let scheduler = Scheduler::new(egression_core::scheduler::SchedulerBounds::default());
        let scheduler = Arc::new(Mutex::new(scheduler));
        let dispatcher = Self {
            messages,
            scheduler,
        };
        (dispatcher, incoming)
    }
}

/// The scheduler, whose holders never panic.
fn lock(scheduler: &Mutex<Scheduler>) -> MutexGuard<'_, Scheduler> {
    scheduler.lock().unwrap_or_else(PoisonError::into_inner)
}
