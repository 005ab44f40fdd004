//! The claim: everything that a delivery needs to know of its jobs.

use egression_core::domain::ids::{ConnectionId, JobSeq, SourceId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::store::engine::statement;
use crate::store::lifecycle::id_map;
use crate::store::rows::{ClaimRow, Pinned, columns};
use crate::store::{Store, StoreError};

/// The columns of [`claim`] and [`pinned`], and the connection.
const CLAIM: &str = "SELECT j.id, j.connection_id, j.state, j.object_type, j.object_id, j.action, \
    j.attempts, j.conflicts, j.source_id, j.expires_at, j.waits_since, j.problem_code, p.body AS \
    payload, d.revision, d.depends_on, coalesce(d.traceparent, x.traceparent) AS traceparent, \
    r.revision AS delivered_revision, coalesce(r.counted, 0) AS deliveries, i.action AS sent_as, \
    i.body, i.body_hash, i.revision AS sent_revision, i.counted, i.idempotency_key, i.answer_lost \
    FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL LEFT JOIN payload p \
    ON p.job_id = j.id LEFT JOIN job_detail d ON d.job_id = j.id LEFT JOIN intent i ON i.job_id = \
    j.id LEFT JOIN delivered r ON r.connection_id = j.connection_id AND r.object_type = \
    j.object_type AND r.object_id = j.object_id WHERE j.id IN";

impl Store {
    /// Everything that a delivery needs to know of these jobs, in their order, without those that
    /// no longer exist.
    pub async fn claim(&self, jobs: &[JobSeq]) -> Result<Vec<ClaimRow>, StoreError> {
        let jobs = jobs.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut found = std::collections::HashMap::with_capacity(jobs.len());
                for row in statement::rows_among(conn, CLAIM, &jobs).await? {
                    let connection = ConnectionId(row.try_get("connection_id")?);
                    let claim = claim(&row)?;
                    found.insert(claim.job, (connection, claim));
                }
                let mut claims: Vec<_> = jobs.iter().filter_map(|job| found.remove(job)).collect();
                let objects: Vec<_> = claims
                    .iter()
                    .map(|(connection, row)| (*connection, row.object.clone()))
                    .collect();
                for ((_, claim), remotes) in
                    claims.iter_mut().zip(id_map::known(conn, &objects).await?)
                {
                    claim.remotes = remotes;
                }
                Ok(claims.into_iter().map(|(_, claim)| claim).collect())
            })
        })
        .await
    }
}

fn claim(row: &SqliteRow) -> Result<ClaimRow, StoreError> {
    Ok(ClaimRow {
        job: JobSeq(row.try_get("id")?),
        state: columns::state(row, "state")?,
        object: columns::object(row)?,
        action: columns::action(row, "action")?,
        attempts: row.try_get("attempts")?,
        conflicts: row.try_get("conflicts")?,
        source: row.try_get::<Option<i64>, _>("source_id")?.map(SourceId),
        expires_at: columns::time(row, "expires_at")?,
        problem_code: row.try_get("problem_code")?,
        waits_since: columns::time(row, "waits_since")?,
        payload: row.try_get("payload")?,
        revision: columns::bits(row, "revision")?,
        depends_on: columns::json(row, "depends_on")?.unwrap_or_default(),
        traceparent: row.try_get("traceparent")?,
        pinned: pinned(row)?,
        remotes: Vec::new(),
        delivered_revision: columns::bits(row, "delivered_revision")?,
        deliveries: columns::count(row, "deliveries")?,
    })
}

fn pinned(row: &SqliteRow) -> Result<Option<Pinned>, StoreError> {
    if row.try_get::<Option<i64>, _>("sent_as")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Pinned {
        action: columns::action(row, "sent_as")?,
        body: row.try_get("body")?,
        body_hash: columns::hash(row, "body_hash")?,
        revision: columns::bits(row, "sent_revision")?,
        counted: columns::bits(row, "counted")?,
        idempotency_key: row.try_get("idempotency_key")?,
        answer_lost: row.try_get("answer_lost")?,
    }))
}
