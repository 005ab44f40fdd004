//! All SQL: one function per question asked. The only place that knows the database. Statements are
//! written as SQLite and PostgreSQL both understand them; what differs is in `dialect.rs`.
//!
//! Writes go through one writer that groups them into transactions (`BEGIN IMMEDIATE`,
//! `synchronous=FULL`) and answers after the commit. Reads use short-lived reader connections.
//! Database work runs in tasks of its own: a caller that goes away never cancels a statement.

pub mod acts;
mod before;
mod blocking;
mod changes;
mod connect;
pub mod connectors;
pub mod delivery;
mod dependents;
mod dialect;
pub mod documents;
mod due;
mod ending;
pub mod error;
mod heads;
mod history;
mod intents;
mod jobs;
pub mod keys;
mod lanes;
pub mod limits;
mod lock;
mod moves;
mod options;
mod parent_ends;
mod parents;
mod recovery;
mod remotes;
mod retention;
pub mod rows;
pub mod scheduling;
pub mod secrets;
mod settlement;
mod staging;
mod statement;
pub mod submission;
mod tally;
#[cfg(test)]
mod tests;
pub mod tracking;
mod waits;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use egression_core::domain::ids::ExecutionSeq;
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

pub use error::StoreError;
pub use history::FIRST_KEPT;
pub use options::StoreOptions;

use crate::clock::Clock;
use dialect::{DbConnection, DbPool};
use lock::DirectoryLock;
use writer::{Change, Published, Queued, WriteTx};

/// Announcements that a slow receiver of [`Store::changes`] may lag behind before it has to read
/// anew.
const CHANGES_KEPT: usize = 4096;

/// The job store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    options: StoreOptions,
    readers: DbPool,
    queue: mpsc::Sender<Option<Box<dyn Change>>>,
    published: Arc<Published>,
    /// Held by whoever tells the children of ended jobs.
    telling: tokio::sync::Mutex<()>,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for dyn Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Change({} rows)", self.rows())
    }
}

impl Store {
    /// Opens or creates `egression.db` in `data_dir`, takes the operating system's lock on the data
    /// directory, migrates, removes executions that were never sealed, and goes on with
    /// cancellations that were interrupted. Intents that were open stay so:
    /// [`Store::open_intents`].
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder if another host has the lock; else what the database
    /// says.
    pub async fn open(data_dir: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with(data_dir, clock, StoreOptions::default()).await
    }

    /// The same with other bounds.
    pub async fn open_with(
        data_dir: &Path,
        clock: Clock,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(data_dir, clock.wall())?;
        let file = data_dir.join("egression.db");
        let mut conn = connect::writer(&file, &options).await?;
        let last_number = recovery::last_number(&mut conn).await?;
        let tx = WriteTx::new(conn, last_number, &options, clock.clone());
        let (queue, waiting) = mpsc::channel(options.write_queue);
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let published = Arc::new(Published {
            backlog: AtomicI64::new(0),
            untold: AtomicI64::new(0),
            changes,
        });
        let writer = tokio::spawn(writer::run(
            tx,
            waiting,
            Arc::clone(&published),
            options.group_rows,
            lock,
        ));
        let readers = connect::readers(&file, &options);
        let writer = tokio::sync::Mutex::new(Some(writer));
        let store = Self {
            inner: Arc::new(Inner {
                clock,
                options,
                readers,
                queue,
                published,
                telling: tokio::sync::Mutex::default(),
                writer,
            }),
        };
        store.recover().await?;
        Ok(store)
    }

    /// Executions whose state changed, after the commit. A receiver that lags reads the state anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<ExecutionSeq> {
        self.inner.published.changes.subscribe()
    }

    /// How many listen to [`Store::changes`].
    #[cfg(test)]
    pub(crate) fn changes_waited_for(&self) -> usize {
        self.inner.published.changes.receiver_count()
    }

    /// Unfinished jobs of all subscriptions, those being received included, for the backlog bound.
    /// O(1).
    #[must_use]
    pub fn backlog(&self) -> u64 {
        u64::try_from(self.inner.published.backlog.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Whether changes are still taken: not once the store is closing, or its writer has ended.
    #[must_use]
    pub fn takes_writes(&self) -> bool {
        !self.inner.queue.is_closed()
    }

    /// Waits until no more changes are taken. Before [`Store::close`] that is a defect: a change
    /// has broken the writer, and only a new start helps.
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
    }

    /// Waits for writes under way and closes the database. Changes asked for afterwards answer
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        if let Some(writer) = self.inner.writer.lock().await.take() {
            // A queue that is closed already ends the writer as well.
            drop(self.inner.queue.send(None).await);
            self.inner.readers.close().await;
            drop(writer.await);
        }
    }

    /// Queues a change and waits for its commit. `rows`: about how many it writes.
    async fn write<T, F>(&self, rows: usize, change: F) -> Result<T, StoreError>
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

    /// Answers a question in one read transaction, in a task of its own.
    async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut DbConnection) -> BoxFuture<'a, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let readers = self.inner.readers.clone();
        let task = tokio::spawn(async move {
            let mut snapshot = readers.begin().await?;
            let answer = question(&mut snapshot).await?;
            snapshot.commit().await?;
            Ok(answer)
        });
        task.await.unwrap_or(Err(StoreError::Closed))
    }
}
