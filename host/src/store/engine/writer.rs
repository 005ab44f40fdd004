//! The one writer. It owns the only connection that writes, takes what is waiting, runs it as one
//! transaction, and answers after the commit.
//!
//! Promises: an answer `Ok` is durable. A change that fails is undone alone (its savepoint); if the
//! database itself fails (full, busy), the whole group is undone and each of its callers is told,
//! and the writer goes on. A caller that goes away after its change is queued cancels nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use egression_core::domain::state::JobState;
use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::clock::Clock;
use crate::store::engine::directory_lock::DirectoryLock;
use crate::store::{StoreError, StoreOptions};
use crate::telemetry::metrics;

/// What a change works with.
#[derive(Debug)]
pub(in crate::store) struct WriteTx {
    /// Inside a transaction of the writer.
    pub(in crate::store) conn: SqliteConnection,
    /// What the commit of the change will make known.
    pub(in crate::store) effects: Effects,
    /// How long a finished execution is kept.
    pub(in crate::store) retention_ms: i64,
    /// Events that are kept of one job.
    pub(in crate::store) events_per_job: u32,
    last_number: i64,
    clock: Clock,
    /// The channels of connections, for the metrics. A connection never changes its channel.
    channels: HashMap<ConnectionId, Arc<str>>,
}

impl WriteTx {
    pub(in crate::store) fn new(
        conn: SqliteConnection,
        last_number: i64,
        options: &StoreOptions,
        clock: Clock,
    ) -> Self {
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

    /// The next number of an execution or a seal. A change that is undone leaves a gap, which does
    /// no harm.
    pub(in crate::store) const fn draw_number(&mut self) -> i64 {
        self.last_number += 1;
        self.last_number
    }

    /// The channel of a connection. One that is gone, or cannot be read just now, has none.
    async fn channel(&mut self, connection: ConnectionId) -> Arc<str> {
        if let Some(channel) = self.channels.get(&connection) {
            return Arc::clone(channel);
        }
        let name: Result<Option<String>, _> = sqlx::query_scalar(
            "SELECT h.name FROM connection c JOIN channel h ON h.id = c.channel_id WHERE c.id = $1",
        )
        .bind(connection.0)
        .fetch_optional(&mut self.conn)
        .await;
        let Ok(Some(name)) = name else {
            return metrics::nobody();
        };
        let channel: Arc<str> = name.into();
        self.channels.insert(connection, Arc::clone(&channel));
        channel
    }

    /// Counts what a commit brought.
    async fn tell(&mut self, effects: &Effects) {
        for (connection, jobs) in &effects.submitted {
            match connection {
                ConnectionId(0) => metrics::items_refused(*jobs),
                _ => metrics::jobs_submitted(&self.channel(*connection).await, *jobs),
            }
        }
        for ((connection, state), jobs) in &effects.ended {
            metrics::jobs_ended(&self.channel(*connection).await, *state, *jobs);
        }
    }
}

/// What becomes known when a change is committed.
#[derive(Debug, Default)]
pub(in crate::store) struct Effects {
    /// By how many the unfinished jobs grow.
    pub(in crate::store) backlog: i64,
    pub(in crate::store) touched: BTreeSet<ExecutionSeq>,
    /// Jobs that were accepted, by connection; 0: lines that were refused.
    pub(in crate::store) submitted: BTreeMap<ConnectionId, u64>,
    pub(in crate::store) ended: BTreeMap<(ConnectionId, JobState), u64>,
    /// By how many the ended parents grow whose children are still to be told.
    pub(in crate::store) pending_notifications: i64,
}

impl Effects {
    /// Takes over those of a change.
    fn absorb(&mut self, mut other: Self) {
        self.backlog += other.backlog;
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

/// What the writer makes known outside.
#[derive(Debug)]
pub(in crate::store) struct Published {
    pub(in crate::store) backlog: AtomicI64,
    /// Ended parents whose children are still to be told.
    pub(in crate::store) pending_notifications: AtomicI64,
    pub(in crate::store) changes: broadcast::Sender<ExecutionSeq>,
}

/// A change in the writer's queue.
pub(in crate::store) trait Change: Send {
    /// About how many rows it writes.
    fn rows(&self) -> usize;
    /// Does its work inside the writer's transaction.
    fn run<'a>(&'a mut self, tx: &'a mut WriteTx) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Tells the caller; after the commit.
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

/// A change made of a closure and the caller who waits for it.
pub(in crate::store) struct Queued<T, F> {
    rows: usize,
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Queued<T, F> {
    pub(in crate::store) fn new(
        rows: usize,
        work: F,
    ) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
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
        // A caller that went away does not need the answer.
        drop(reply.send(answer));
    }
}

/// Works until every sender of the queue is gone or the queue is closed, then closes the connection
/// and frees the lock.
pub(in crate::store) async fn run(
    mut tx: WriteTx,
    mut queue: mpsc::Receiver<Option<Box<dyn Change>>>,
    published: Arc<Published>,
    group_rows: usize,
    lock: DirectoryLock,
) {
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        let mut group = Vec::new();
        let mut rows = 0;
        while let Some(message) = next.take() {
            // The message without a change asks for the end; what is queued before it is still
            // done.
            let Some(change) = message else {
                queue.close();
                break;
            };
            rows += change.rows().max(1);
            group.push(change);
            if rows < group_rows {
                next = queue.try_recv().ok();
            }
        }
        commit(&mut tx, group, rows, &published).await;
    }
    if let Err(error) = tx.conn.close().await {
        tracing::warn!(%error, "the database did not close cleanly; its log is read at the next start");
    }
    drop(lock);
}

/// One group: all or, when the database fails, nothing.
async fn commit(
    tx: &mut WriteTx,
    mut group: Vec<Box<dyn Change>>,
    rows: usize,
    published: &Published,
) {
    if group.is_empty() {
        return;
    }
    let mut effects = Effects::default();
    let mut ends = Vec::with_capacity(group.len());
    let began = tx.clock.mono();
    let whole = run_group(tx, &mut group, &mut ends, &mut effects).await;
    metrics::store_committed(whole.is_ok(), rows, tx.clock.mono().since_us(began));
    tx.effects = Effects::default();
    if let Err(error) = &whole {
        // Some failures have rolled back already, and then there is nothing to roll back.
        drop(sqlx::query("ROLLBACK").execute(&mut tx.conn).await);
        tracing::warn!(%error, changes = group.len(), "a group of changes was undone");
        for change in group {
            change.answer(Err(error.clone()));
        }
        return;
    }
    tx.tell(&effects).await;
    published
        .backlog
        .fetch_add(effects.backlog, Ordering::Relaxed);
    published
        .pending_notifications
        .fetch_add(effects.pending_notifications, Ordering::Relaxed);
    for execution in effects.touched {
        // No receiver is no fault.
        drop(published.changes.send(execution));
    }
    for (change, end) in group.into_iter().zip(ends) {
        change.answer(end);
    }
}

async fn run_group(
    tx: &mut WriteTx,
    group: &mut [Box<dyn Change>],
    ends: &mut Vec<Result<(), StoreError>>,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    // SQLite takes its lock at once, so that no change fails half way because of another process.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut tx.conn).await?;
    for change in group {
        sqlx::query("SAVEPOINT change")
            .execute(&mut tx.conn)
            .await?;
        tx.effects = Effects::default();
        let end = change.run(tx).await;
        match &end {
            Ok(()) => effects.absorb(std::mem::take(&mut tx.effects)),
            // The database's own trouble is everybody's.
            Err(error @ (StoreError::Full | StoreError::Disk(_) | StoreError::Busy)) => {
                return Err(error.clone());
            }
            // If the savepoint is gone, SQLite has undone the whole transaction, and so this ends
            // the group.
            Err(error) => {
                sqlx::query("ROLLBACK TO change")
                    .execute(&mut tx.conn)
                    .await
                    .map_err(|_| error.clone())?;
            }
        }
        sqlx::query("RELEASE change").execute(&mut tx.conn).await?;
        ends.push(end);
    }
    sqlx::query("COMMIT").execute(&mut tx.conn).await?;
    Ok(())
}
