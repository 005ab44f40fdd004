//! Heads: the first job that holds a key. An earlier unfinished job of the key holds the later
//! ones, unless it waits for its time, for the job that it merged into, or for an object; in the
//! last case it holds only the jobs of its own object.
//!
//! The order in a key is (seal, belt, id). The cost of a head must not grow with the jobs behind
//! it. Jobs of one execution share its seal, so the walk steps through the key's index execution by
//! execution. Executions and seals are numbered from one counter: once a job with seal s is found,
//! an execution numbered above s cannot hold an earlier one, and the walk ends.

use std::collections::HashMap;

use egression_core::domain::ids::{ConnectionId, JobSeq, TypeHash};
use egression_core::domain::object::ObjectHash;
use egression_core::domain::partition::KeyHash;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::store::engine::predicates::{holds_key, waits_for_object};
use crate::store::engine::sqlite::{Connection, Row};
use crate::store::engine::statement::{self, ValueRow};
use crate::store::lifecycle::transition;
use crate::store::rows::{HeadRow, columns};
use crate::store::{Store, StoreError};

/// The smaller of the best seal so far and the seal just found, which may be null.
macro_rules! nearer_seal {
    () => {
        "CASE WHEN x.seal < w.best THEN x.seal ELSE w.best END"
    };
}

/// No earlier job of the same key and object waits for another object.
macro_rules! not_behind_its_object {
    () => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM job d JOIN execution dx ON dx.seq = d.id >> 24 AND \
            dx.seal IS NOT NULL WHERE d.connection_id = f.connection_id AND d.object_hash = \
            f.object_hash AND ",
            waits_for_object!("d."),
            " \
             AND d.key_hash = f.key_hash AND (CASE d.seal WHEN 0 THEN dx.seal ELSE d.seal END, \
             d.belt, d.id) < (CASE f.seal WHEN 0 THEN (SELECT seal FROM execution WHERE seq = \
             f.id >> 24) ELSE f.seal END, f.belt, f.id))"
        )
    };
}

macro_rules! head_columns {
    () => {
        "j.id, j.connection_id, j.belt, j.key_hash, j.object_hash, j.object_type, j.action, \
         j.priority, j.attempts, j.state, j.waiting, j.due_at, EXISTS (SELECT 1 FROM intent i \
         WHERE i.job_id = j.id) AS pinned"
    };
}

/// After `WITH RECURSIVE wanted (c, k) AS (SELECT …)`: for each key its first job of each
/// execution that could hold the head, and its first job with a seal of its own.
pub const WALK: &str = concat!(
    "), walk (c, k, n, best) AS (SELECT c, k, -1, 9223372036854775807 FROM wanted UNION ALL ",
    "SELECT w.c, w.k, (SELECT f.id >> 24 FROM job f WHERE f.connection_id = w.c AND f.key_hash = \
     w.k AND f.seal = 0 AND ",
    holds_key!("f."),
    " AND (f.id >> 24) > w.n AND (f.id >> 24) <= ",
    nearer_seal!(),
    " ORDER BY (f.id >> 24) LIMIT 1), ",
    nearer_seal!(),
    " FROM walk w LEFT JOIN execution x ON x.seq = w.n AND EXISTS (",
    "SELECT 1 FROM job f WHERE f.connection_id = w.c AND f.key_hash = w.k AND f.seal = 0 AND ",
    holds_key!("f."),
    " AND (f.id >> 24) = w.n AND ",
    not_behind_its_object!(),
    ") WHERE w.n IS NOT NULL) SELECT ",
    head_columns!(),
    ", x.seal AS place FROM walk w JOIN execution x ON x.seq = w.n AND x.seal IS NOT NULL JOIN \
     job j ON j.id = (SELECT f.id FROM job f WHERE f.connection_id = w.c AND f.key_hash = w.k AND \
     f.seal = 0 AND ",
    holds_key!("f."),
    " AND (f.id >> 24) = w.n AND ",
    not_behind_its_object!(),
    " ORDER BY f.belt, f.id LIMIT 1) UNION ALL SELECT ",
    head_columns!(),
    ", j.seal AS place FROM wanted JOIN job j ON j.id = (SELECT f.id FROM job f WHERE \
     f.connection_id = c AND f.key_hash = k AND f.seal > 0 AND ",
    holds_key!("f."),
    " AND ",
    not_behind_its_object!(),
    " ORDER BY f.seal, f.belt, f.id LIMIT 1)"
);

/// The text before [`WALK`], followed by the keys.
pub const WANTED: &str = "WITH RECURSIVE wanted (c, k) AS MATERIALIZED (";

impl Store {
    /// The ready heads of those keys that are not blocked. Ready: waiting without a reason, or with
    /// a reason whose time came.
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

    /// Those of the jobs that are ready heads of keys that are not blocked.
    pub async fn heads(&self, jobs: &[JobSeq]) -> Result<Vec<HeadRow>, StoreError> {
        let jobs = jobs.to_vec();
        self.read(move |conn| Box::pin(async move { of_jobs(conn, &jobs).await }))
            .await
    }
}

/// The first job that holds a key.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub row: HeadRow,
    state: JobState,
    waiting: Option<WaitingKind>,
    due_at: Option<Wall>,
}

impl Head {
    /// The job waits without a reason, or for a retry or a source whose time came by `now`.
    pub fn is_ready(&self, now: Option<Wall>) -> bool {
        let over = || now.zip(self.due_at).is_some_and(|(now, due)| due <= now);
        match (self.state, self.waiting) {
            (JobState::Waiting, None) => true,
            (JobState::Waiting, Some(WaitingKind::Retry | WaitingKind::Source)) => over(),
            _ => false,
        }
    }
}

/// Those of the jobs that are ready heads of keys that are not blocked.
pub async fn of_jobs(conn: &mut Connection, jobs: &[JobSeq]) -> Result<Vec<HeadRow>, StoreError> {
    let keys = keys_of(conn, jobs).await?;
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
pub async fn of_keys(
    conn: &mut Connection,
    keys: &[(ConnectionId, KeyHash)],
) -> Result<HashMap<(ConnectionId, KeyHash), Head>, StoreError> {
    let mut heads: HashMap<_, Head> = HashMap::with_capacity(keys.len());
    for row in statement::rows_of_values(conn, WANTED, keys, push_key, WALK).await? {
        let found = candidate(&row)?;
        let place = |head: &Head| (head.row.seal, head.row.belt, head.row.job);
        let head = heads
            .entry((found.row.connection, found.row.key))
            .or_insert(found);
        if place(&found) < place(head) {
            *head = found;
        }
    }
    Ok(heads)
}

/// Those of the keys that are not blocked, each once, in order.
pub async fn not_blocked(
    conn: &mut Connection,
    keys: &[(ConnectionId, KeyHash)],
) -> Result<Vec<(ConnectionId, KeyHash)>, StoreError> {
    let mut free: std::collections::BTreeSet<_> = keys.iter().copied().collect();
    let blocked = ") SELECT b.connection_id, b.key_hash FROM w JOIN blocked_key b ON \
        b.connection_id = c AND b.key_hash = k";
    for row in statement::rows_of_values(
        conn,
        "WITH w (c, k) AS MATERIALIZED (",
        keys,
        push_key,
        blocked,
    )
    .await?
    {
        free.remove(&key(&row)?);
    }
    Ok(free.into_iter().collect())
}

fn push_key(row: &mut ValueRow<'_>, (connection, key): &(ConnectionId, KeyHash)) {
    row.push_bind(connection.0).push_bind(key.0);
}

fn key(row: &Row) -> Result<(ConnectionId, KeyHash), StoreError> {
    Ok((
        ConnectionId(row.try_get("connection_id")?),
        KeyHash(row.try_get("key_hash")?),
    ))
}

/// A row of [`head_columns`] and the seal.
fn candidate(row: &Row) -> Result<Head, StoreError> {
    let (connection, key) = key(row)?;
    Ok(Head {
        row: HeadRow {
            job: JobSeq(row.try_get("id")?),
            connection,
            belt: row.try_get("belt")?,
            key,
            object: ObjectHash(row.try_get("object_hash")?),
            type_hash: TypeHash::of(row.try_get("object_type")?),
            action: columns::action(row, "action")?,
            priority: row.try_get("priority")?,
            attempts: row.try_get("attempts")?,
            seal: row.try_get("place")?,
            pinned: row.try_get("pinned")?,
        },
        state: columns::state(row, "state")?,
        waiting: columns::waiting(row, "waiting")?,
        due_at: columns::time(row, "due_at")?,
    })
}

/// The keys of these jobs, each once.
async fn keys_of(
    conn: &mut Connection,
    jobs: &[JobSeq],
) -> Result<Vec<(ConnectionId, KeyHash)>, StoreError> {
    let mut keys: Vec<_> = transition::load(conn, jobs)
        .await?
        .into_iter()
        .map(|job| (job.connection, job.key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
