//! The conformance suite of [`Store`]. Each test opens its own store in a temporary directory, and
//! compares the counters with the rows after each step.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests"
)]

mod blocked_keys;
mod cancel;
mod counters;
mod dependencies;
mod directory_lock;
mod due;
mod failures;
mod fixtures;
mod identity;
mod limits_and_events;
mod order;
mod pace;
mod plans;
mod registry;
mod release;
mod retention;
mod sequences;
mod settlement;
mod submission;

use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq, SubscriptionId};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use self::fixtures::{
    ended, execution, intent, items, job, key, keyed, numbers, object, through, waits_for,
};
use crate::clock::Clock;
use crate::store::engine::sqlite;
use crate::store::lifecycle::job_history::append;
use crate::store::rows::{
    Changes, ClaimRow, ExecutionFilter, ExecutionStatus, IdempotencyMark, IdempotencyRecord,
    JobFilter, JobRow, LaneKey, LanePage, NewEvent, ProgressRow, Settlement, StagedItem, StagedJob,
};
use crate::store::{Store, StoreError, StoreOptions};

const SHOP: ConnectionId = ConnectionId(7);
const ACME: SubscriptionId = SubscriptionId(1);
const LATER: Wall = Wall(i64::MAX);

struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    /// With connections 7 (the shop) and 8.
    async fn new() -> Self {
        Self::with(StoreOptions::default()).await
    }

    async fn with(options: StoreOptions) -> Self {
        let world = Self::open(options).await;
        world.connect().await;
        world
    }

    async fn empty() -> Self {
        Self::open(StoreOptions::default()).await
    }

    async fn open(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open_with(directory.path(), Clock::system(), options)
            .await
            .unwrap();
        Self { directory, store }
    }

    async fn connect(&self) {
        self.raw(
            "INSERT INTO subscription (id, name, document, managed_by, updated_at) VALUES \
            (1, 'acme', '{}', 'api', 0)",
        )
        .await;
        for id in [SHOP.0, 8] {
            self.raw(&format!(
                "INSERT INTO channel (id, name, document, managed_by, updated_at) \
                VALUES ({id}, 'c{id}', '{{}}', 'api', 0)"
            ))
            .await;
            let insert = "INSERT INTO connection (id, subscription_id, channel_id, document, \
                managed_by, updated_at)";
            self.raw(&format!(
                "{insert} VALUES ({id}, 1, {id}, '{{}}', 'api', 0)"
            ))
            .await;
        }
    }

    /// Runs a statement.
    async fn raw(&self, statement: &str) {
        let statement = statement.to_owned();
        let run = self.store.write(1, move |tx| {
            Box::pin(async move {
                sqlite::query(statement).execute(&mut tx.conn)?;
                Ok(())
            })
        });
        run.await.unwrap();
    }

    async fn blocked_keys(&self) -> Vec<(ConnectionId, KeyHash)> {
        let select = "SELECT connection_id, key_hash FROM blocked_key ORDER BY 1, 2";
        let rows = self
            .store
            .read(move |conn| Box::pin(async move { sqlite::query(select).fetch_all(conn) }));
        let rows = rows.await.unwrap();
        rows.iter()
            .map(|row| (ConnectionId(row.get(0)), KeyHash(row.get(1))))
            .collect()
    }

    async fn add_events(&self, job: JobSeq, events: Vec<NewEvent>) {
        let events: Vec<_> = events.into_iter().map(|event| (job, event)).collect();
        let append = self.store.write(events.len(), move |tx| {
            Box::pin(async move { append(tx, &events).await })
        });
        append.await.unwrap();
    }

    async fn restart(&mut self) {
        self.store.close().await;
        self.store = Store::open(self.directory.path(), Clock::system())
            .await
            .unwrap();
    }

    async fn reopen(mut self) -> Self {
        self.restart().await;
        self
    }

    /// The first column of a question's rows.
    async fn column(&self, question: &'static str) -> Vec<i64> {
        let rows = self
            .store
            .read(move |conn| Box::pin(async move { sqlite::query(question).scalars(conn) }));
        rows.await.unwrap()
    }

    fn now(&self) -> Wall {
        self.store.inner.clock.wall()
    }

    async fn submit(&self, jobs: impl IntoIterator<Item = StagedJob>) -> ExecutionSeq {
        let seq = self.submit_items(items(jobs), None).await.unwrap();
        self.check().await;
        seq
    }

    async fn submit_items(
        &self,
        items: Vec<StagedItem>,
        mark: Option<IdempotencyMark>,
    ) -> Result<ExecutionSeq, StoreError> {
        let sealed = self.store.submit(execution(), items, mark).await?;
        Ok(sealed.execution)
    }

    /// One execution with a job of each of these products.
    async fn submit_each<const N: usize>(&self, products: [&str; N]) -> [JobSeq; N] {
        let seq = self
            .submit((0..).zip(products).map(|(index, id)| job(index, id)))
            .await;
        std::array::from_fn(|index| seq.job(u32::try_from(index).unwrap()))
    }

    async fn submit_one(&self, product: &str) -> JobSeq {
        self.submit([job(0, product)]).await.job(0)
    }

    async fn submit_keyed(&self, product: &str, key: &str) -> JobSeq {
        self.submit([keyed(0, product, key)]).await.job(0)
    }

    /// An execution that is not sealed, with these jobs.
    async fn receive(&self, jobs: impl IntoIterator<Item = StagedJob>) -> ExecutionSeq {
        let seq = self.store.begin_execution(execution()).await.unwrap();
        self.stage(seq, items(jobs)).await;
        seq
    }

    async fn stage(&self, execution: ExecutionSeq, items: Vec<StagedItem>) {
        for chunk in items.chunks(1000) {
            self.store.stage(execution, chunk.to_vec()).await.unwrap();
        }
    }

    async fn seal(&self, execution: ExecutionSeq) {
        self.store.seal(execution, None).await.unwrap();
    }

    async fn status(&self, execution: ExecutionSeq) -> ExecutionStatus {
        self.store.execution(execution).await.unwrap().unwrap()
    }

    /// The counters of an execution that the scheduler reads.
    async fn progress(&self, execution: ExecutionSeq) -> Vec<ProgressRow> {
        let open = self.store.open_execution(execution).await.unwrap();
        open.unwrap().progress
    }

    async fn record(&self, operation: &str, key: &str) -> Option<IdempotencyRecord> {
        self.store.idempotency(ACME, operation, key).await.unwrap()
    }

    async fn lane(&self, execution: ExecutionSeq, belt: u32) -> LanePage {
        self.store
            .lane_page(
                LaneKey {
                    connection: SHOP,
                    execution,
                    belt,
                    priority: 0,
                },
                None,
                1000,
            )
            .await
            .unwrap()
    }

    async fn heads(&self, execution: ExecutionSeq, belt: u32) -> Vec<JobSeq> {
        numbers(&self.lane(execution, belt).await.heads)
    }

    async fn heads_of_key(&self, text: &str) -> Vec<JobSeq> {
        let heads = self.store.heads_of_keys(&[key(text)], self.now()).await;
        numbers(&heads.unwrap())
    }

    async fn heads_among(&self, jobs: &[JobSeq]) -> Vec<JobSeq> {
        numbers(&self.store.heads(jobs).await.unwrap())
    }

    async fn claim(&self, job: JobSeq) -> ClaimRow {
        self.store.claim(&[job]).await.unwrap().remove(0)
    }

    async fn send(&self, call: i64, jobs: &[JobSeq]) -> Vec<JobSeq> {
        let opened = self
            .store
            .open_intent(jobs.iter().map(|job| intent(*job, call)).collect())
            .await
            .unwrap();
        self.check().await;
        opened
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Changes {
        let changes = self.store.settle(settlements).await.unwrap();
        self.check().await;
        changes
    }

    /// Sends a job and ends it.
    async fn deliver(&self, job: JobSeq, state: JobState) -> Changes {
        assert_eq!(self.send(job.0, &[job]).await, [job]);
        self.settle(vec![ended(job, Some(job.0), state)]).await
    }

    async fn succeed(&self, job: JobSeq) -> Changes {
        self.deliver(job, JobState::Succeeded).await
    }

    async fn reject(&self, job: JobSeq) -> Changes {
        self.deliver(job, JobState::Rejected).await
    }

    /// Ends a job that was not sent.
    async fn end(&self, job: JobSeq, state: JobState) -> Changes {
        self.settle(vec![ended(job, None, state)]).await
    }

    /// Lets a job that was not sent wait for objects.
    async fn wait_for(&self, job: JobSeq, parents: &[(&str, Option<JobSeq>)]) -> Changes {
        self.settle(vec![waits_for(job, None, parents, LATER)])
            .await
    }

    async fn unfinished_parents(&self, pairs: &[(JobSeq, ObjectKey)]) -> Vec<Option<JobSeq>> {
        self.store.unfinished_parents(SHOP, pairs).await.unwrap()
    }

    async fn is_there(&self, product: &str) -> bool {
        let objects = [object(product)];
        self.store.are_there(SHOP, &objects).await.unwrap()[0]
    }

    async fn fall_due(&self, now: Wall, limit: u32) -> (Vec<JobSeq>, Changes) {
        let (heads, changes) = self.store.fall_due(now, limit).await.unwrap();
        self.check().await;
        (numbers(&heads), changes)
    }

    async fn cancel(&self, execution: ExecutionSeq) -> Changes {
        let now = self.now();
        let changes = through(self.store.cancel_execution(execution, now).await);
        self.check().await;
        changes
    }

    async fn cancel_connection(&self, connection: ConnectionId) -> Changes {
        let now = self.now();
        let changes = through(self.store.cancel_connection(connection, now).await);
        self.check().await;
        changes
    }

    async fn listed(&self, filter: &ExecutionFilter) -> Vec<ExecutionSeq> {
        let list = self.store.executions(filter, 10).await.unwrap();
        list.iter().map(|status| status.row.seq).collect()
    }

    /// The jobs of a product, newest first.
    async fn history(&self, product: &str) -> Vec<JobSeq> {
        let object = object(product);
        let jobs = self.store.object_jobs(None, &object, None, 10).await;
        jobs.unwrap().iter().map(|row| row.seq).collect()
    }

    /// The numbers and stages of a job's history.
    async fn stages(&self, job: JobSeq) -> Vec<(u32, String)> {
        let events = self.store.events(job, 0, 5000).await.unwrap();
        events
            .into_iter()
            .map(|event| (event.seq, event.stage))
            .collect()
    }

    async fn row(&self, job: JobSeq) -> JobRow {
        let mut rows = self
            .store
            .jobs(
                job.execution(),
                &JobFilter::default(),
                Some(JobSeq(job.0 - 1)),
                1,
            )
            .await
            .unwrap();
        assert_eq!(rows[0].seq, job);
        rows.remove(0)
    }

    async fn state_of(&self, job: JobSeq) -> (JobState, Option<WaitingKind>) {
        let row = self.row(job).await;
        (row.state, row.waiting)
    }

    /// The counters agree with the rows.
    async fn check(&self) {
        let counted = self
            .store
            .read(|conn| Box::pin(async move { Ok(counters::count(conn).await) }))
            .await
            .unwrap();
        assert_eq!(counted.kept, counted.real, "counters");
        assert_eq!(counted.wrong, Vec::<String>::new());
        assert_eq!(
            self.store.backlog(),
            u64::try_from(counted.open).unwrap(),
            "backlog"
        );
    }
}
