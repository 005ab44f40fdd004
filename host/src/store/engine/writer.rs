//! The one writer. It owns the only connection that writes, runs all queued changes as one
//! transaction, and answers after the commit.
//!
//! Promises: an `Ok` is durable. A change that fails is undone alone (its savepoint). If the
//! database itself fails (full, busy), the whole group is undone, each caller gets the error, and
//! the writer continues; it tries a failing disk until it takes writes again. Dropping the caller
//! of a queued change cancels nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::store::engine::directory_lock::StoreLock;
use crate::store::engine::identity::{self, Marker};
use crate::store::engine::readers::Readers;
use crate::store::engine::sqlite::{self, Connection};
use crate::store::engine::write_ahead_log::{self, WriteAheadLog};
use crate::store::{StoreError, StoreOptions};
use crate::telemetry::{metrics, thread_cpu};

/// How often a failing disk is tried.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Written to try the disk: more than small changes need.
const PROBE_BYTES: i64 = 1024 * 1024;

/// The writer's transaction, as a change sees it.
#[derive(Debug)]
pub struct WriteTx {
    /// Inside a transaction of the writer.
    pub conn: Connection,
    /// Published once the change is committed.
    pub effects: Effects,
    pub retention_ms: i64,
    pub events_per_job: u32,
    last_number: i64,
    clock: Clock,
    /// The channels of connections, for the metrics. A connection keeps its channel.
    channels: HashMap<ConnectionId, Arc<str>>,
}

impl WriteTx {
    pub fn new(conn: Connection, last_number: i64, options: &StoreOptions, clock: Clock) -> Self {
        let StoreOptions {
            retention_ms,
            events_per_job,
            ..
        } = *options;
        Self {
            conn,
            effects: Effects::default(),
            retention_ms,
            events_per_job,
            last_number,
            clock,
            channels: HashMap::new(),
        }
    }

    /// The next number of an execution or a seal. An undone change leaves a gap, which is harmless.
    pub const fn next_number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }

    pub fn now(&self) -> Wall {
        self.clock.wall()
    }

    /// The channel of a connection, for the metrics; nobody's if it cannot be read.
    async fn channel(&mut self, connection: ConnectionId) -> Arc<str> {
        if let Some(channel) = self.channels.get(&connection) {
            return Arc::clone(channel);
        }
        let name: Result<Option<String>, _> = sqlite::query(
            "SELECT h.name FROM connection c JOIN channel h ON h.id = c.channel_id WHERE c.id = ?1",
        )
        .bind(connection.0)
        .optional_scalar(&mut self.conn);
        let Ok(Some(name)) = name else {
            return metrics::nobody();
        };
        let channel: Arc<str> = name.into();
        self.channels.insert(connection, Arc::clone(&channel));
        channel
    }

    /// Counts the jobs of a commit in the metrics.
    async fn count_in_metrics(&mut self, effects: &Effects) {
        if effects.refused > 0 {
            metrics::items_refused(effects.refused);
        }
        for (connection, jobs) in &effects.submitted {
            metrics::jobs_submitted(&self.channel(*connection).await, *jobs);
        }
        for ((connection, state), jobs) in &effects.ended {
            metrics::jobs_ended(&self.channel(*connection).await, *state, *jobs);
        }
    }
}

/// The effects of a change outside the database, once it is committed.
#[derive(Debug, Default)]
pub struct Effects {
    /// Change of the number of unfinished jobs.
    pub backlog: i64,
    pub touched: BTreeSet<ExecutionSeq>,
    /// Accepted jobs by connection.
    pub submitted: BTreeMap<ConnectionId, u64>,
    /// Refused lines of bulk requests.
    pub refused: u64,
    pub ended: BTreeMap<(ConnectionId, JobState), u64>,
    /// Change of the number of stored ends whose children are not notified yet.
    pub pending_notifications: i64,
}

impl Effects {
    pub fn absorb(&mut self, mut other: Self) {
        self.backlog += other.backlog;
        self.refused += other.refused;
        self.pending_notifications += other.pending_notifications;
        self.touched.append(&mut other.touched);
        for (connection, jobs) in other.submitted {
            *self.submitted.entry(connection).or_default() += jobs;
        }
        for (end, jobs) in other.ended {
            *self.ended.entry(end).or_default() += jobs;
        }
    }
}

/// The writer's published state.
#[derive(Debug)]
pub struct Published {
    pub backlog: AtomicI64,
    /// Stored ends whose children are not notified yet.
    pub pending_notifications: AtomicI64,
    pub changes: broadcast::Sender<ExecutionSeq>,
    /// Why the disk takes no writes.
    pub write_failure: Mutex<Option<StoreError>>,
}

impl Published {
    fn fails(&self) -> bool {
        self.write_failure.lock().is_some()
    }

    fn set_failure(&self, failure: Option<StoreError>) {
        let mut current = self.write_failure.lock();
        match (&*current, &failure) {
            (None, Some(error)) => tracing::error!(%error, "degraded: the store cannot write"),
            (Some(_), None) => tracing::info!("the store writes again"),
            _ => {}
        }
        *current = failure;
    }
}

/// A change in the writer's queue.
pub trait Change: Send {
    /// Roughly the number of rows that it writes.
    fn rows(&self) -> usize;
    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Answers the caller, after the commit.
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

/// A closure, and the caller that waits for it.
pub struct Queued<T, F> {
    rows: usize,
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Queued<T, F> {
    pub fn new(rows: usize, work: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (
            Self {
                rows,
                work: Some(work),
                value: None,
                reply,
            },
            answer,
        )
    }
}

impl<T, F> Change for Queued<T, F>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut WriteTx) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let work = self.work.take().ok_or(StoreError::Closed)?;
            self.value = Some(work(tx).await?);
            Ok(())
        })
    }

    fn answer(self: Box<Self>, end: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        let answer = end.and_then(|()| value.ok_or(StoreError::Closed));
        // A dropped caller needs no answer.
        drop(reply.send(answer));
    }
}

/// The changes that wait for the writer.
pub struct Queues {
    /// Intents and settlements.
    pub first: mpsc::UnboundedReceiver<Box<dyn Change>>,
    /// All others, above all the staging of bulks. A message without a change ends the writer,
    /// after all changes queued before it.
    pub rest: mpsc::Receiver<Option<Box<dyn Change>>>,
}

impl Queues {
    /// The changes of the next transaction; none if there are no more. Safe to cancel.
    async fn group(&mut self, rows: usize) -> Option<Vec<Box<dyn Change>>> {
        let mut group = Vec::new();
        tokio::select! {
            biased;
            Some(change) = self.first.recv() => group.push(change),
            message = self.rest.recv() => group.extend(self.change(message?)),
        }
        while let Ok(change) = self.first.try_recv() {
            group.push(change);
        }
        let mut taken: usize = group.iter().map(|change| change.rows().max(1)).sum();
        while taken < rows
            && let Ok(message) = self.rest.try_recv()
        {
            if let Some(change) = self.change(message) {
                taken += change.rows().max(1);
                group.push(change);
            }
        }
        Some(group)
    }

    /// The change of a message. A message without one closes the queues.
    fn change(&mut self, message: Option<Box<dyn Change>>) -> Option<Box<dyn Change>> {
        if message.is_none() {
            self.first.close();
            self.rest.close();
        }
        message
    }
}

/// The one writer.
pub struct Writer {
    pub tx: WriteTx,
    pub published: Arc<Published>,
    pub group_rows: usize,
    /// Commits of the store so far.
    pub commits: i64,
    pub marker: Marker,
    pub log: WriteAheadLog,
    pub readers: Readers,
    pub lock: StoreLock,
}

impl Writer {
    /// Starts the writer's thread. The receiver is answered when it ends.
    pub fn start(self, queues: Queues) -> Result<oneshot::Receiver<()>, StoreError> {
        let (ended, end) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name(thread_cpu::STORE_WRITER.to_owned())
            .spawn(move || {
                runtime.block_on(self.run(queues));
                // Nobody may wait for it.
                let _ = ended.send(());
            })
            .map_err(|error| StoreError::Database(format!("the writer's thread: {error}")))?;
        Ok(end)
    }

    /// Runs until every sender is gone or the queue is closed, then closes the database and
    /// releases the lock.
    async fn run(mut self, mut queues: Queues) {
        let mut probe_at = None;
        loop {
            tokio::select! {
                group = queues.group(self.group_rows) => match group {
                    Some(group) => self.commit(group).await,
                    None => break,
                },
                () = reached(probe_at) => {
                    probe_at = None;
                    self.probe().await;
                }
            }
            if !self.published.fails() {
                probe_at = None;
            } else if probe_at.is_none() {
                let clock = &self.tx.clock;
                probe_at = Some(clock.instant(clock.mono()) + PROBE_EVERY);
            }
        }
        self.close().await;
    }

    /// The database file is complete without its log after this.
    async fn close(mut self) {
        // Open readers keep the log.
        self.readers.close().await;
        match write_ahead_log::empty(&mut self.tx.conn).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "another process reads the database, so its newest content stays in \
                 `egression.db-wal`; keep the two files together"
            ),
            Err(error) => tracing::warn!(
                %error,
                "the newest content of the database stays in `egression.db-wal`; keep the two \
                 files together"
            ),
        }
        if let Err((_, error)) = self.tx.conn.0.close() {
            tracing::warn!(%error, "the database did not close cleanly; its log is read at the \
                next start");
        }
        // SQLite's locks would end with a descriptor of the file.
        drop(self.lock);
    }

    /// Commits one group, or nothing of it if the database fails.
    async fn commit(&mut self, mut group: Vec<Box<dyn Change>>) {
        if group.is_empty() {
            return;
        }
        let rows = group.iter().map(|change| change.rows().max(1)).sum();
        let mut effects = Effects::default();
        let mut ends = Vec::with_capacity(group.len());
        let tx = &mut self.tx;
        let began = tx.clock.mono();
        let commits = self.commits + 1;
        let whole = run_group(tx, &mut group, &mut ends, &mut effects, commits).await;
        metrics::store_committed(whole.is_ok(), rows, tx.clock.mono().since_us(began));
        tx.effects = Effects::default();
        if let Err(error) = &whole {
            // Some failures have rolled back already.
            drop(sqlite::query("ROLLBACK").execute(&mut tx.conn));
            tracing::warn!(%error, changes = group.len(), "a group of changes was undone");
            if error.is_of_disk() {
                self.published.set_failure(Some(error.clone()));
            }
            for change in group {
                change.answer(Err(error.clone()));
            }
            return;
        }
        self.commits = commits;
        self.marker.count(commits);
        tx.count_in_metrics(&effects).await;
        let published = &self.published;
        published
            .backlog
            .fetch_add(effects.backlog, Ordering::Relaxed);
        published
            .pending_notifications
            .fetch_add(effects.pending_notifications, Ordering::Relaxed);
        for execution in effects.touched {
            // There may be no receiver.
            drop(published.changes.send(execution));
        }
        for (change, end) in group.into_iter().zip(ends) {
            change.answer(end);
        }
        self.log.count(&mut self.tx.conn);
        self.log.keep_within_bound(&mut self.tx.conn).await;
    }

    /// Finds out whether the disk takes writes again. Small changes can succeed on a full disk, so
    /// only this decides.
    async fn probe(&mut self) {
        // Two commits, because a transaction that deletes its own row writes little.
        let end = async {
            sqlite::query(
                "INSERT OR REPLACE INTO meta (name, value) VALUES ('space_probe', zeroblob(?1))",
            )
            .bind(PROBE_BYTES)
            .execute(&mut self.tx.conn)?;
            sqlite::query("DELETE FROM meta WHERE name = 'space_probe'").execute(&mut self.tx.conn)
        }
        .await;
        match end {
            Ok(_) => self.published.set_failure(None),
            Err(error) if error.is_of_disk() => self.published.set_failure(Some(error)),
            Err(error) => tracing::warn!(%error, "the disk was not checked"),
        }
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn run_group(
    tx: &mut WriteTx,
    group: &mut [Box<dyn Change>],
    ends: &mut Vec<Result<(), StoreError>>,
    effects: &mut Effects,
    commits: i64,
) -> Result<(), StoreError> {
    // SQLite takes its lock at once, so that no change fails half way because of another process.
    sqlite::query("BEGIN IMMEDIATE").execute(&mut tx.conn)?;
    for change in group {
        sqlite::query("SAVEPOINT change").execute(&mut tx.conn)?;
        tx.effects = Effects::default();
        let end = change.run(tx).await;
        match &end {
            Ok(()) => effects.absorb(std::mem::take(&mut tx.effects)),
            // A failure of the database concerns the whole group.
            Err(error) if error.is_of_database() => {
                return Err(error.clone());
            }
            // If the savepoint is gone, SQLite has undone the whole transaction: the group ends.
            Err(error) => {
                sqlite::query("ROLLBACK TO change")
                    .execute(&mut tx.conn)
                    .map_err(|_| error.clone())?;
            }
        }
        sqlite::query("RELEASE change").execute(&mut tx.conn)?;
        ends.push(end);
    }
    identity::count(&mut tx.conn, commits).await?;
    sqlite::query("COMMIT").execute(&mut tx.conn)?;
    Ok(())
}
