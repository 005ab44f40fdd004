//! Heads: the first job of a key that holds it. An earlier unfinished job of the key holds the
//! later ones, unless it waits for its time, for the job it merged into, or for an object; in the
//! last case it holds the jobs of its own object only.
//!
//! The order in a key is (seal, belt, id), and the cost of a head must not grow with what waits
//! behind it. Jobs of one execution share its seal, so that the index of a key is stepped over
//! execution by execution. Executions and seals are numbered from one counter: once a job with seal
//! s is found, an execution numbered above s cannot hold an earlier one, and the walk ends.

use std::collections::HashMap;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectHash;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::store::engine::statement;
use crate::store::engine::statement::CHUNK;
use crate::store::lifecycle::{due, transition};
use crate::store::rows::HeadRow;
use crate::store::{Store, StoreError};

/// Jobs that hold their key, as the indexes `job_key` and `job_key_drawn` have it.
macro_rules! holds {
    ($job:literal) => {
        concat!(
            $job,
            ".state <= 2 AND (",
            $job,
            ".waiting IS NULL OR ",
            $job,
            ".waiting NOT IN (1, 5, 14))"
        )
    };
}

pub(in crate::store) use holds;

/// A number before those of all executions. It is this large because PostgreSQL makes an `INTEGER`
/// of a smaller one, which a recursive question may not mix with the `BIGINT` of a column; a cast
/// would take SQLite's indexes by expression away.
macro_rules! before_all {
    () => {
        "-9223372036854775807"
    };
}

pub(in crate::store) use before_all;

/// The smaller one of the seal that is the best so far and the one just found, which may be null.
macro_rules! nearer_seal {
    () => {
        "CASE WHEN x.seal < w.best THEN x.seal ELSE w.best END"
    };
}

/// No earlier job of the same key and object waits for another object.
macro_rules! not_behind_its_object {
    () => {
        "NOT EXISTS (SELECT 1 FROM job d JOIN execution dx ON dx.seq = d.id >> 24 AND dx.seal IS NOT NULL \
         WHERE d.connection_id = f.connection_id AND d.object_hash = f.object_hash AND d.state = 0 AND d.waiting = 5 \
         AND d.key_hash = f.key_hash AND (CASE d.seal WHEN 0 THEN dx.seal ELSE d.seal END, d.belt, d.id) \
         < (CASE f.seal WHEN 0 THEN (SELECT seal FROM execution WHERE seq = f.id >> 24) ELSE f.seal END, f.belt, f.id))"
    };
}

macro_rules! head_columns {
    () => {
        "j.id, j.connection_id, j.belt, j.key_hash, j.object_hash, j.object_type, j.action, j.priority, j.attempts, \
         j.state, j.waiting, j.due_at, EXISTS (SELECT 1 FROM intent i WHERE i.job_id = j.id)"
    };
}

/// After `WITH RECURSIVE wanted (c, k) AS (VALUES …)`: for each key its first job of each execution
/// that could hold the head, and its first job with a seal of its own.
pub(in crate::store) const WALK: &str = concat!(
    "), walk (c, k, n, best) AS (SELECT c, k, ",
    before_all!(),
    ", 9223372036854775807 FROM wanted UNION ALL ",
    "SELECT w.c, w.k, (SELECT f.id >> 24 FROM job f WHERE f.connection_id = w.c AND f.key_hash = w.k AND f.seal = 0 AND ",
    holds!("f"),
    " AND (f.id >> 24) > w.n AND (f.id >> 24) <= ",
    nearer_seal!(),
    " ORDER BY (f.id >> 24) LIMIT 1), ",
    nearer_seal!(),
    " FROM walk w LEFT JOIN execution x ON x.seq = w.n AND EXISTS (",
    "SELECT 1 FROM job f WHERE f.connection_id = w.c AND f.key_hash = w.k AND f.seal = 0 AND ",
    holds!("f"),
    " AND (f.id >> 24) = w.n AND ",
    not_behind_its_object!(),
    ") WHERE w.n IS NOT NULL) SELECT ",
    head_columns!(),
    ", x.seal FROM walk w JOIN execution x ON x.seq = w.n AND x.seal IS NOT NULL JOIN job j ON j.id = (",
    "SELECT f.id FROM job f WHERE f.connection_id = w.c AND f.key_hash = w.k AND f.seal = 0 AND ",
    holds!("f"),
    " AND (f.id >> 24) = w.n AND ",
    not_behind_its_object!(),
    " ORDER BY f.belt, f.id LIMIT 1) UNION ALL SELECT ",
    head_columns!(),
    ", j.seal FROM wanted JOIN job j ON j.id = (SELECT f.id FROM job f WHERE f.connection_id = c AND f.key_hash = k AND f.seal > 0 AND ",
    holds!("f"),
    " AND ",
    not_behind_its_object!(),
    " ORDER BY f.seal, f.belt, f.id LIMIT 1)"
);

/// The text before [`WALK`], followed by the keys.
pub(in crate::store) const WANTED: &str = "WITH RECURSIVE wanted (c, k) AS (";

impl Store {
    /// The heads of these keys, as far as they are ready (waiting without a reason, or with a
    /// reason whose time has come) and the key is not blocked.
    pub async fn heads_of_keys(
        &self,
        keys: &[(ConnectionId, KeyHash)],
        now: Wall,
    ) -> Result<Vec<HeadRow>, StoreError> {
        let keys = keys.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let free = not_blocked(conn, &keys).await?;
                let heads = of_keys(conn, &free).await?;
                Ok(free
                    .iter()
                    .filter_map(|key| heads.get(key))
                    .filter(|head| head.is_ready(Some(now)))
                    .map(|head| head.row)
                    .collect())
            })
        })
        .await
    }

    /// These jobs as heads, as far as they wait without a reason and nothing of their key is before
    /// them.
    pub async fn heads(&self, jobs: &[JobSeq]) -> Result<Vec<HeadRow>, StoreError> {
        let jobs = jobs.to_vec();
        self.read(move |conn| Box::pin(async move { of_jobs(conn, &jobs).await }))
            .await
    }
}

/// The first job that holds a key.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Head {
    pub(in crate::store) row: HeadRow,
    state: JobState,
    waiting: Option<WaitingKind>,
    due_at: Option<Wall>,
}

impl Head {
    /// It waits without a reason, or for a retry or source until `now` at the latest.
    pub(in crate::store) fn is_ready(&self, now: Option<Wall>) -> bool {
        let over = || now.zip(self.due_at).is_some_and(|(now, due)| due <= now);
        match (self.state, self.waiting) {
            (JobState::Waiting, None) => true,
            (JobState::Waiting, Some(WaitingKind::Retry | WaitingKind::Source)) => over(),
            _ => false,
        }
    }
}

/// Those of the jobs that are ready heads of keys that are not blocked.
pub(in crate::store) async fn of_jobs(
    conn: &mut SqliteConnection,
    jobs: &[JobSeq],
) -> Result<Vec<HeadRow>, StoreError> {
    let keys = due::keys_of(conn, jobs).await?;
    let free = not_blocked(conn, &keys).await?;
    let heads = of_keys(conn, &free).await?;
    let heads: HashMap<_, _> = heads
        .into_values()
        .filter(|head| head.is_ready(None))
        .map(|head| (head.row.job, head.row))
        .collect();
    Ok(jobs
        .iter()
        .filter_map(|job| heads.get(job).copied())
        .collect())
}

/// The head of each key that has one, ready or not.
pub(in crate::store) async fn of_keys(
    conn: &mut SqliteConnection,
    keys: &[(ConnectionId, KeyHash)],
) -> Result<HashMap<(ConnectionId, KeyHash), Head>, StoreError> {
    let mut heads: HashMap<_, Head> = HashMap::with_capacity(keys.len());
    for chunk in keys.chunks(CHUNK) {
        let mut select = statement::values(WANTED, chunk, |row, (connection, key)| {
            row.push_bind(connection.0).push_bind(key.0);
        });
        select.push(WALK);
        for row in statement::rows(select, conn).await? {
            let found = candidate(&row)?;
            let place = |head: &Head| (head.row.seal, head.row.belt, head.row.job);
            let head = heads
                .entry((found.row.connection, found.row.key))
                .or_insert(found);
            if place(&found) < place(head) {
                *head = found;
            }
        }
    }
    Ok(heads)
}

/// Those of the keys that are not blocked, each once, in order.
pub(in crate::store) async fn not_blocked(
    conn: &mut SqliteConnection,
    keys: &[(ConnectionId, KeyHash)],
) -> Result<Vec<(ConnectionId, KeyHash)>, StoreError> {
    let mut free: std::collections::BTreeSet<_> = keys.iter().copied().collect();
    for chunk in keys.chunks(CHUNK) {
        let mut select =
            statement::values("WITH w (c, k) AS (", chunk, |row, (connection, key)| {
                row.push_bind(connection.0).push_bind(key.0);
            });
        select.push(") SELECT b.connection_id, b.key_hash FROM w JOIN blocked_key b ON b.connection_id = c AND b.key_hash = k");
        for row in statement::rows(select, conn).await? {
            free.remove(&(ConnectionId(row.try_get(0)?), KeyHash(row.try_get(1)?)));
        }
    }
    Ok(free.into_iter().collect())
}

/// A row of [`head_columns`] and the seal.
fn candidate(row: &SqliteRow) -> Result<Head, StoreError> {
    let object_type: &str = row.try_get(5)?;
    Ok(Head {
        row: HeadRow {
            job: JobSeq(row.try_get(0)?),
            connection: ConnectionId(row.try_get(1)?),
            belt: row.try_get(2)?,
            key: KeyHash(row.try_get(3)?),
            object: ObjectHash(row.try_get(4)?),
            type_hash: KeyHash::of(object_type).0,
            action: transition::action(row.try_get(6)?)?,
            priority: row.try_get(7)?,
            attempts: row.try_get(8)?,
            seal: row.try_get(13)?,
            pinned: row.try_get(12)?,
        },
        state: transition::state(row.try_get(9)?)?,
        waiting: transition::waiting(row.try_get(10)?)?,
        due_at: row.try_get::<Option<i64>, _>(11)?.map(Wall),
    })
}
