//! What the scheduler needs from the store, read beside it.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::partition::KeyHash;
use egression_core::scheduler::Need;
use egression_core::time::Wall;
use tokio::sync::mpsc;

use super::Message;
use crate::clock::Clock;
use crate::store::Store;

/// Keys looked up in one question.
const KEYS_AT_ONCE: usize = 200;
/// Waits ended in one transaction.
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
    /// Does what is needed; heads of keys are looked up together.
    pub(super) fn start(&self, needs: Vec<Need>) {
        let mut keys: Vec<(ConnectionId, KeyHash)> = Vec::new();
        for need in needs {
            match need {
                Need::Head { connection, key } => keys.push((connection, key)),
                Need::Page { lane, after } => self.spawn(move |reads| async move {
                    let page = reads.store.lane_page(lane, after, reads.page).await;
                    Some(Message::Page(lane, page))
                }),
                Need::OpenBelt { execution, connection, belt } => self.spawn(move |reads| async move {
                    if let Err(error) = reads.store.open_belt(execution, connection, belt).await {
                        // It opens again after a restart by the same rule.
                        tracing::warn!(%error, execution = execution.0, belt, "an open belt could not be noted");
                    }
                    None
                }),
                Need::AbortBelts { execution, connection, belt } => self.spawn(move |reads| async move {
                    match reads.store.abort_belts(execution, connection, belt, reads.clock.wall()).await {
                        Ok(changes) => Some(Message::Changed(changes)),
                        Err(error) => {
                            tracing::error!(%error, execution = execution.0, belt, "belts could not be cancelled");
                            None
                        }
                    }
                }),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        for chunk in keys.chunks(KEYS_AT_ONCE) {
            let asked = chunk.to_vec();
            self.spawn(move |reads| async move {
                let heads = reads.store.heads_of_keys(&asked, reads.clock.wall()).await;
                Some(Message::Heads(asked, heads))
            });
        }
    }

    /// Reads jobs whose wait for others ended.
    pub(super) fn released(&self, jobs: Vec<JobSeq>) {
        if !jobs.is_empty() {
            self.spawn(move |reads| async move { Some(Message::Released(reads.store.heads(&jobs).await)) });
        }
    }

    /// Marks jobs of a blocked key.
    pub(super) fn mark_blocked(&self, jobs: Vec<JobSeq>) {
        if !jobs.is_empty() {
            self.spawn(move |reads| async move {
                match reads.store.mark_blocked(&jobs).await {
                    Ok(changes) => Some(Message::Changed(changes)),
                    Err(error) => {
                        tracing::warn!(%error, "jobs of a blocked key could not be marked");
                        None
                    }
                }
            });
        }
    }

    /// Ends waits whose time has come, and jobs that expired; then asks when the next one does.
    pub(super) fn due(&self, now: Wall) {
        self.spawn(move |reads| async move {
            match reads.store.expire(now, DUE_AT_ONCE).await {
                Ok(changes) => reads.send(Message::Changed(changes)).await,
                Err(error) => tracing::warn!(%error, "expired jobs could not be ended"),
            }
            let due = reads.store.fall_due(now, DUE_AT_ONCE).await;
            reads.send(Message::Due(due)).await;
            reads.next_due().await
        });
    }

    /// Asks when the next wait ends.
    pub(super) fn when_due(&self) {
        self.spawn(|reads| async move { reads.next_due().await });
    }

    async fn next_due(&self) -> Option<Message> {
        match self.store.next_due().await {
            Ok(at) => Some(Message::NextDue(at)),
            Err(error) => {
                tracing::warn!(%error, "the next due job could not be read");
                Some(Message::NextDue(Some(self.clock.wall().plus_ms(1000))))
            }
        }
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
        tokio::spawn(async move {
            if let Some(message) = work.await {
                reads.send(message).await;
            }
        });
    }
}
