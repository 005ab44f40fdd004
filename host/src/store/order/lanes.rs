//! Lanes: ready jobs of one execution, connection, belt and priority, page by page.

use std::collections::HashSet;

use egression_core::domain::ids::JobSeq;
use egression_core::domain::partition::KeyHash;

use crate::store::engine::predicates::is_ready;
use crate::store::engine::sqlite::{self, Connection};
use crate::store::order::heads;
use crate::store::rows::{LaneKey, LanePage};
use crate::store::{Store, StoreError};

/// Ready jobs of a lane, by the index `job_lane`.
pub const READY: &str = concat!(
    "SELECT id, key_hash FROM job WHERE connection_id = ?1 AND belt = ?2 AND priority = ?3 \
     AND id > ?4 AND id < ?5 AND ",
    is_ready!(""),
    " ORDER BY id LIMIT ?6"
);

impl Store {
    /// The next ready jobs of a sealed execution's lane, in the order of their numbers: heads of
    /// their keys, the keys of jobs behind others (each key once), and jobs of blocked keys.
    pub async fn lane_page(
        &self,
        lane: LaneKey,
        after: Option<JobSeq>,
        limit: u32,
    ) -> Result<LanePage, StoreError> {
        self.read(move |conn| Box::pin(async move { page(conn, lane, after, limit).await }))
            .await
    }
}

async fn page(
    conn: &mut Connection,
    lane: LaneKey,
    after: Option<JobSeq>,
    limit: u32,
) -> Result<LanePage, StoreError> {
    let start = after.unwrap_or(JobSeq(lane.execution.job(0).0 - 1));
    let rows = sqlite::query(READY)
        .bind(lane.connection.0)
        .bind(lane.belt)
        .bind(lane.priority)
        .bind(start.0)
        .bind(lane.execution.end().0)
        .bind(limit)
        .fetch_all(&mut *conn)?;
    let mut ready = Vec::with_capacity(rows.len());
    for row in rows {
        let key = (lane.connection, KeyHash(row.try_get("key_hash")?));
        ready.push((JobSeq(row.try_get("id")?), key));
    }
    let keys: Vec<_> = ready.iter().map(|(_, key)| *key).collect();
    let free = heads::not_blocked(conn, &keys).await?;
    let heads = heads::of_keys(conn, &free).await?;
    let free: HashSet<_> = free.into_iter().collect();
    let mut page = LanePage {
        next: (ready.len() == limit as usize)
            .then(|| ready.last().map(|(job, _)| *job))
            .flatten(),
        ..LanePage::default()
    };
    let mut held = HashSet::new();
    for (job, key) in ready {
        match heads.get(&key) {
            _ if !free.contains(&key) => page.blocked.push(job),
            Some(head) if head.row.job == job => page.heads.push(head.row),
            _ => {
                if held.insert(key) {
                    page.held.push(key.1);
                }
            }
        }
    }
    Ok(page)
}
