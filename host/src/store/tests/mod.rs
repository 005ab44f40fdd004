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
mod dependencies;
mod directory_lock;
mod due;
mod failures;
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

use std::collections::BTreeMap;

use egression_core::domain::action::Action;
use egression_core::domain::ids::{
    ConnectionId, ExecutionId, ExecutionSeq, JobSeq, SubscriptionId,
};
use egression_core::domain::object::ObjectKey;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::Row as _;
use uuid::Uuid;

use crate::clock::Clock;
use crate::store::lifecycle::events::append;
use crate::store::rows::{
    Changes, IdMapChange, JobFilter, JobRow, LaneKey, LanePage, NewEvent, NewExecution, NewIntent,
    Pinned, Sealed, Settlement, StagedItem, StagedJob, Transition,
};
use crate::store::{Store, StoreError};

const SHOP: ConnectionId = ConnectionId(7);
const ACME: SubscriptionId = SubscriptionId(1);

struct World {
    directory: tempfile::TempDir,
    store: Store,
}

impl World {
    /// With connections 7 (the shop) and 8.
    async fn new() -> Self {
        let world = Self::empty().await;
        world.connect().await;
        world
    }

    async fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Clock::system())
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
                sqlx::query(sqlx::AssertSqlSafe(statement))
                    .execute(&mut tx.conn)
                    .await?;
                Ok(())
            })
        });
        run.await.unwrap();
    }

    async fn blocked_keys(&self) -> Vec<(ConnectionId, KeyHash)> {
        let select = "SELECT connection_id, key_hash FROM blocked_key ORDER BY 1, 2";
        let rows = self.store.read(move |conn| {
            Box::pin(async move { Ok(sqlx::query(select).fetch_all(conn).await?) })
        });
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

    async fn reopen(self) -> Self {
        self.store.close().await;
        let store = Store::open(self.directory.path(), Clock::system())
            .await
            .unwrap();
        Self {
            directory: self.directory,
            store,
        }
    }

    fn now(&self) -> Wall {
        self.store.inner.clock.wall()
    }

    async fn submit(&self, jobs: Vec<StagedJob>) -> Sealed {
        let sealed = self
            .store
            .submit(
                execution(),
                jobs.into_iter().map(StagedItem::Job).collect(),
                None,
            )
            .await
            .unwrap();
        self.check().await;
        sealed
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
        self.lane(execution, belt)
            .await
            .heads
            .into_iter()
            .map(|head| head.job)
            .collect()
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
            .read(|conn| Box::pin(async move { Ok(count(conn).await) }))
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

/// By execution, connection and belt: total, the nine states, set aside, scheduled, retrying,
/// sourcing, blocked.
type Counters = BTreeMap<(i64, i64, i64), Vec<i64>>;

#[derive(Default)]
struct Counted {
    kept: Counters,
    real: Counters,
    open: i64,
    wrong: Vec<String>,
}

async fn count(conn: &mut sqlx::SqliteConnection) -> Counted {
    let mut counted = Counted::default();
    let rows = sqlx::query(
        "SELECT execution_seq, connection_id, belt, total, waiting, in_flight, accepted, \
         succeeded, rejected, failed, unknown, superseded, cancelled, set_aside, scheduled, \
         retrying, sourcing, blocked FROM progress",
    );
    for row in rows.fetch_all(&mut *conn).await.unwrap() {
        counted.kept.insert(
            (row.get(0), row.get(1), row.get(2)),
            (3..18).map(|index| row.get(index)).collect(),
        );
    }
    let rows = sqlx::query(
        "SELECT id >> 24, connection_id, belt, count(*), sum(state = 0), sum(state = 1), \
         sum(state = 2), sum(state = 3), sum(state = 4), sum(state = 5), sum(state = 6), \
         sum(state = 7), sum(state = 8), sum(waiting IS NOT NULL AND waiting IN (4, 5, 13)), \
         sum(waiting IS NOT NULL AND waiting = 1), sum(waiting IS NOT NULL AND waiting = 12), \
         sum(waiting IS NOT NULL AND waiting = 6), sum(waiting IS NOT NULL AND waiting = 13), \
         sum(state <= 2) FROM job GROUP BY 1, 2, 3",
    );
    for row in rows.fetch_all(&mut *conn).await.unwrap() {
        counted.real.insert(
            (row.get(0), row.get(1), row.get(2)),
            (3..18).map(|index| row.get(index)).collect(),
        );
        counted.open += row.get::<i64, _>(18);
    }
    let never = [
        (
            "in flight without an open intent",
            "SELECT id FROM job WHERE state = 1 AND id NOT IN (SELECT job_id FROM intent WHERE \
             open = TRUE)",
        ),
        (
            "an open intent that is not in flight",
            "SELECT job_id FROM intent WHERE open = TRUE AND job_id NOT IN (SELECT id FROM job \
             WHERE state = 1)",
        ),
        (
            "an intent of an ended job",
            "SELECT job_id FROM intent JOIN job ON id = job_id WHERE state > 2",
        ),
        (
            "an edge of a job that does not wait",
            "SELECT id FROM job WHERE (waiting IS NULL OR waiting <> 5) AND id IN (SELECT \
             child_job FROM dependency)",
        ),
        (
            "completion that contradicts the jobs",
            "SELECT seq FROM execution WHERE (completed_at IS NOT NULL) <> (seal IS NOT NULL AND \
             NOT EXISTS (SELECT 1 FROM job WHERE id >> 24 = seq AND state <= 2))",
        ),
        (
            "grouped errors",
            "SELECT seq FROM execution WHERE (SELECT coalesce(sum(jobs), 0) FROM error_group \
             WHERE execution_seq = seq) <> (SELECT count(*) FROM job WHERE id >> 24 = seq AND \
             state IN (4, 5, 6))",
        ),
    ];
    for (what, question) in never {
        let found: Vec<i64> = sqlx::query_scalar(question)
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        if !found.is_empty() {
            counted.wrong.push(format!("{what}: {found:?}"));
        }
    }
    counted
}

/// The changes of a successful cancel.
fn through((changes, end): (Changes, Result<(), StoreError>)) -> Changes {
    end.unwrap();
    changes
}

fn execution() -> NewExecution {
    NewExecution {
        id: ExecutionId(Uuid::new_v4()),
        subscription: ACME,
        operation: "jobs",
        context: None,
        traceparent: None,
        created_at: Wall(1_000),
    }
}

fn object(id: &str) -> ObjectKey {
    ObjectKey::new("product", id)
}

/// A job of a product on the shop, in belt 1.
fn job(index: u32, id: &str) -> StagedJob {
    StagedJob {
        index,
        connection: SHOP,
        belt: 1,
        object: object(id),
        action: Action::Upsert,
        priority: 0,
        partition_key: None,
        source: None,
        scheduled_at: None,
        expires_at: None,
        client_ref: None,
        context: None,
        depends_on: Vec::new(),
        payload: None,
        full: false,
        revision: None,
        traceparent: None,
    }
}

fn keyed(index: u32, id: &str, key: &str) -> StagedJob {
    StagedJob {
        partition_key: Some(key.to_owned()),
        ..job(index, id)
    }
}

fn refused(index: u32, code: &str) -> StagedItem {
    StagedItem::Refused {
        index,
        excerpt: "{\"bad".to_owned(),
        object: None,
        problem: Problem::new(code, "it is bad"),
    }
}

fn key(text: &str) -> (ConnectionId, KeyHash) {
    (SHOP, KeyHash::of(text))
}

fn event(stage: &'static str) -> NewEvent {
    NewEvent {
        at: Wall(2_000),
        stage,
        attempt: Some(1),
        http_status: Some(200),
        duration_ms: Some(12),
        detail: None,
        log: None,
    }
}

fn intent(job: JobSeq, call: i64) -> NewIntent {
    NewIntent {
        job,
        call,
        attempt: 1,
        pinned: Pinned {
            action: Action::Upsert,
            body: Some(format!("{{\"job\":{job}}}")),
            body_hash: [9; 32],
            revision: Some(3),
            counted: None,
            idempotency_key: format!("key-{job}"),
            answer_lost: false,
        },
        events: vec![event("sent")],
    }
}

fn settlement(job: JobSeq, call: Option<i64>, to: Transition) -> Settlement {
    Settlement {
        job,
        call,
        to,
        attempts: 1,
        conflicts: 0,
        id_map: IdMapChange::Keep,
        act_as: None,
        delivered_revision: None,
        events: vec![event("responded")],
    }
}

fn end(state: JobState) -> State {
    let problem = Problem::new("price.missing", "no price");
    match state {
        JobState::Succeeded => State::Succeeded { changed: true },
        JobState::Rejected => State::Rejected { problem },
        JobState::Failed => State::Failed {
            code: FailureCode::RetriesExhausted,
            problem,
        },
        JobState::Unknown => State::Unknown { problem },
        JobState::Superseded => State::Superseded { problem: None },
        JobState::Cancelled => State::Cancelled {
            problem: Some(problem),
        },
        other => panic!("{other:?} is no end"),
    }
}

fn ended(job: JobSeq, call: Option<i64>, state: JobState) -> Settlement {
    let to = Transition::Ended {
        end: end(state),
        block_key: None,
    };
    settlement(job, call, to)
}

fn waits(
    job: JobSeq,
    call: Option<i64>,
    reason: Option<WaitingKind>,
    until: Option<Wall>,
) -> Settlement {
    settlement(
        job,
        call,
        Transition::Waits {
            reason,
            until,
            parents: Vec::new(),
            problem: None,
            keep_pinned: false,
            answer_lost: false,
        },
    )
}

fn waits_for(
    job: JobSeq,
    call: Option<i64>,
    parents: &[(&str, Option<JobSeq>)],
    until: Wall,
) -> Settlement {
    let parents = parents
        .iter()
        .map(|(id, parent)| (object(id), *parent))
        .collect();
    let reason = Some(WaitingKind::Dependency);
    settlement(
        job,
        call,
        Transition::Waits {
            reason,
            until: Some(until),
            parents,
            problem: None,
            keep_pinned: false,
            answer_lost: false,
        },
    )
}
