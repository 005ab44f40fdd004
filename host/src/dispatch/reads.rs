//! The reads and writes that the scheduler needs, in tasks of their own.
//!
//! Every read is repeated until the store answers, because nothing else would ask for what was not
//! read. Only a closed store ends it.

use std::time::Duration;

use egression_core::domain::backoff::{Backoff, Jitter};
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use egression_core::domain::partition::KeyHash;
use egression_core::scheduler::Need;
use egression_core::time::Wall;
use tokio::sync::mpsc;

use super::message::Message;
use crate::clock::Clock;
use crate::store::{Store, StoreError};
use crate::telemetry::layer_cpu::Layer;

/// The pause before a failed read is repeated.
const PAUSE: Backoff = Backoff {
    base_ms: 50,
    max_ms: 2000,
    jitter: Jitter::None,
};
/// The most keys in one lookup.
const KEYS_AT_ONCE: usize = 200;
/// The most waits that end in one transaction.
const DUE_AT_ONCE: u32 = 500;

/// Reads for the dispatcher and answers through its queue.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) page: u32,
}

impl Reads {
    /// Starts what the scheduler needs. Heads of keys are looked up together.
    pub(super) fn start(&self, needs: Vec<Need>) {
        let mut keys: Vec<(ConnectionId, KeyHash)> = Vec::new();
        for need in needs {
            match need {
                Need::Head { connection, key } => keys.push((connection, key)),
                Need::Page { lane, after } => self.spawn(move |reads| async move {
                    let page = reads
                        .ask("ready jobs", || {
                            reads.store.lane_page(lane, after, reads.page)
                        })
                        .await?;
                    Some(Message::Page(lane, page))
                }),
                Need::OpenBelt {
                    execution,
                    connection,
                    belt,
                } => self.spawn(move |reads| async move {
                    reads
                        .ask("an open belt", || {
                            reads.store.open_belt(execution, connection, belt)
                        })
                        .await?;
                    None
                }),
                Need::AbortBelts {
                    execution,
                    connection,
                    belt,
                } => self.spawn(move |reads| async move {
                    let now = reads.clock.wall();
                    let abort = || async {
                        let (changes, end) = reads
                            .store
                            .abort_belts(execution, connection, belt, now)
                            .await;
                        // A repeat does not find again what was done before an error.
                        reads.send(Message::Changed(changes)).await;
                        end
                    };
                    reads.ask("cancelled belts", abort).await?;
                    None
                }),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        for chunk in keys.chunks(KEYS_AT_ONCE) {
            let asked = chunk.to_vec();
            self.spawn(move |reads| async move {
                let heads = reads
                    .ask("heads of keys", || {
                        reads.store.heads_of_keys(&asked, reads.clock.wall())
                    })
                    .await?;
                Some(Message::Heads(heads))
            });
        }
    }

    /// Reads an execution.
    pub(super) fn sealed(&self, execution: ExecutionSeq) {
        self.spawn(move |reads| async move {
            let open = reads
                .ask("a sealed execution", || {
                    reads.store.open_execution(execution)
                })
                .await?;
            Some(Message::Opened(execution, open.map(Box::new)))
        });
    }

    /// Reads jobs whose wait for others ended.
    pub(super) fn released(&self, jobs: Vec<JobSeq>) {
        if !jobs.is_empty() {
            self.spawn(move |reads| async move {
                let heads = reads
                    .ask("released jobs", || reads.store.heads(&jobs))
                    .await?;
                Some(Message::Heads(heads))
            });
        }
    }

    /// Marks jobs of a blocked key.
    pub(super) fn mark_blocked(&self, jobs: Vec<JobSeq>) {
        if !jobs.is_empty() {
            self.spawn(move |reads| async move {
                let changes = reads
                    .ask("jobs of a blocked key", || reads.store.mark_blocked(&jobs))
                    .await?;
                Some(Message::Changed(changes))
            });
        }
    }

    /// Ends expired jobs, then waits that are due, and then finds the next due time.
    pub(super) fn due(&self, now: Wall) {
        self.spawn(move |reads| async move {
            let expired = reads
                .ask("expired jobs", || reads.store.expire(now, DUE_AT_ONCE))
                .await?;
            reads.send(Message::Changed(expired)).await;
            let (heads, changes) = reads
                .ask("due jobs", || reads.store.fall_due(now, DUE_AT_ONCE))
                .await?;
            reads.send(Message::Due(heads, changes)).await;
            reads.next_due().await
        });
    }

    /// Finds when the next wait ends.
    pub(super) fn when_due(&self) {
        self.spawn(|reads| async move { reads.next_due().await });
    }

    async fn next_due(&self) -> Option<Message> {
        self.ask("the next due job", || self.store.next_due())
            .await
            .map(Message::NextDue)
    }

    /// Repeats until the store answers. `None`: it is closed.
    async fn ask<T, F>(&self, what: &str, mut question: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        for failures in 1.. {
            match question().await {
                Ok(answer) => return Some(answer),
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    let pause_ms = PAUSE.ceiling_ms(failures);
                    tracing::warn!(
                        %error,
                        query = what,
                        retry_ms = pause_ms,
                        "the dispatcher cannot read the store; retrying"
                    );
                    tokio::time::sleep_until(
                        self.clock.instant(self.clock.mono()) + Duration::from_millis(pause_ms),
                    )
                    .await;
                }
            }
        }
        None
    }

    async fn send(&self, message: Message) {
        // The dispatcher is gone only when the host stops.
        let _ = self.messages.send(message).await;
    }

    fn spawn<F>(&self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = Option<Message>> + Send + 'static,
    {
        let reads = self.clone();
        let work = work(self.clone());
        tokio::spawn(Layer::Dispatch.measure(async move {
            if let Some(message) = work.await {
                reads.send(message).await;
            }
        }));
    }
}
