//! The handle on the store: changes go to the writer's queue, questions to a reader.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use egression_core::domain::ids::ExecutionSeq;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::clock::Clock;
use crate::store::engine::joined::Callers;
use crate::store::engine::readers::Readers;
use crate::store::engine::sqlite::Connection;
use crate::store::engine::writer::{Change, Published, Queued, WriteTx};
use crate::store::error::StoreError;
use crate::store::lifecycle::claim::Claiming;
use crate::store::lifecycle::intents::Opening;
use crate::store::lifecycle::settlement::Settling;
use crate::store::options::StoreOptions;

/// The job store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub(in crate::store) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(in crate::store) struct Inner {
    pub(in crate::store) clock: Clock,
    pub(in crate::store) options: StoreOptions,
    pub(in crate::store) readers: Readers,
    /// Changes that go before those of the queue.
    pub(in crate::store) first: mpsc::UnboundedSender<Box<dyn Change>>,
    pub(in crate::store) queue: mpsc::Sender<Option<Box<dyn Change>>>,
    pub(in crate::store) settling: Arc<Callers<Settling>>,
    pub(in crate::store) opening: Arc<Callers<Opening>>,
    pub(in crate::store) claiming: Arc<Claiming>,
    pub(in crate::store) published: Arc<Published>,
    /// Held by the caller that notifies the children of ended jobs.
    pub(in crate::store) notifying: tokio::sync::Mutex<()>,
    /// Answers when the writer's thread has ended.
    pub(in crate::store) writer: tokio::sync::Mutex<Option<oneshot::Receiver<()>>>,
    /// Read transactions since the store was opened.
    #[cfg(test)]
    pub(in crate::store) reads: std::sync::atomic::AtomicU64,
}

impl std::fmt::Debug for dyn Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Change({} rows)", self.rows())
    }
}

impl Store {
    /// Executions whose state changed, after the commit. A receiver that lags reads the state anew.
    pub fn changes(&self) -> broadcast::Receiver<ExecutionSeq> {
        self.inner.published.changes.subscribe()
    }

    /// The number of receivers of [`Store::changes`].
    #[cfg(test)]
    pub(crate) fn changes_waited_for(&self) -> usize {
        self.inner.published.changes.receiver_count()
    }

    /// The number of read transactions so far.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.inner.reads.load(Ordering::Relaxed)
    }

    /// Unfinished jobs of all subscriptions, including those of unsealed executions. O(1).
    pub fn backlog(&self) -> u64 {
        u64::try_from(self.inner.published.backlog.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether the store still takes changes: it is not closing, and its writer runs.
    pub fn takes_writes(&self) -> bool {
        !self.inner.queue.is_closed()
    }

    /// Why the disk takes no writes, since the last attempt; none if it does. While it fails, the
    /// writer tries again every second.
    pub fn write_failure(&self) -> Option<StoreError> {
        self.inner.published.write_failure.lock().clone()
    }

    /// Returns when the writer has ended. Before [`Store::close`] that is a defect: a change broke
    /// the writer, and only a restart helps.
    pub async fn writer_ended(&self) {
        self.inner.queue.closed().await;
    }

    /// Breaks the writer as a defect in a change would.
    #[cfg(test)]
    pub(crate) async fn break_writer(&self) {
        let broken: Result<(), _> = self
            .write(1, |_| Box::pin(async { panic!("a defect") }))
            .await;
        assert!(broken.is_err());
        self.writer_ended().await;
    }

    /// Waits for queued changes, moves the log into the database, and closes it. Later calls return
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        if let Some(writer) = self.inner.writer.lock().await.take() {
            // A closed queue ends the writer, too.
            drop(self.inner.queue.send(None).await);
            drop(writer.await);
            // A writer that broke did not close them.
            self.inner.readers.close().await;
        }
    }

    /// Queues a change and waits for its commit. `rows`: roughly the number of rows that it writes.
    pub(in crate::store) async fn write<T, F>(
        &self,
        rows: usize,
        change: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut WriteTx) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
    {
        let (queued, answer) = Queued::new(rows, change);
        let patience = Duration::from_millis(self.inner.options.busy_timeout_ms);
        self.inner
            .queue
            .send_timeout(Some(Box::new(queued)), patience)
            .await
            .map_err(|error| match error {
                mpsc::error::SendTimeoutError::Timeout(_) => StoreError::Overloaded,
                mpsc::error::SendTimeoutError::Closed(_) => StoreError::Closed,
            })?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Runs a query in one read transaction, in its own task.
    pub(in crate::store) async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Connection) -> BoxFuture<'a, Result<T, StoreError>>
            + Send
            + 'static,
    {
        self.read_statement(|conn| {
            Box::pin(async move {
                conn.batch("BEGIN")?;
                let answer = question(conn).await;
                conn.batch("COMMIT")?;
                answer
            })
        })
        .await
    }

    /// Runs a query of one statement, which sees one state without a transaction, in its own task.
    pub(in crate::store) async fn read_statement<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut Connection) -> BoxFuture<'a, Result<T, StoreError>>
            + Send
            + 'static,
    {
        #[cfg(test)]
        self.inner.reads.fetch_add(1, Ordering::Relaxed);
        self.inner
            .readers
            .ask(|conn| {
                question(conn)
                    .now_or_never()
                    .unwrap_or(Err(StoreError::Closed))
            })
            .await
    }
}
