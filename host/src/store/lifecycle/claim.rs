//! The claim: everything that a delivery needs to know of its jobs.

use egression_core::domain::ids::{ConnectionId, JobSeq, SourceId};
use egression_core::domain::object::ObjectKey;
use egression_core::time::Wall;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::store::engine::statement::{self, CHUNK};
use crate::store::lifecycle::id_map;
use crate::store::rows::{ClaimRow, Pinned, codes};
use crate::store::{Store, StoreError};

impl Store {
    /// Everything that a delivery needs to know of these jobs, in their order, without those that
    /// no longer exist.
    pub async fn claim(&self, jobs: &[JobSeq]) -> Result<Vec<ClaimRow>, StoreError> {
        let jobs = jobs.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut found = std::collections::HashMap::with_capacity(jobs.len());
                for chunk in jobs.chunks(CHUNK) {
                    for (connection, row) in claim_chunk(conn, chunk).await? {
                        found.insert(row.job, (connection, row));
                    }
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

async fn claim_chunk(
    conn: &mut SqliteConnection,
    jobs: &[JobSeq],
) -> Result<Vec<(ConnectionId, ClaimRow)>, StoreError> {
    let select = statement::among(
        "SELECT j.id, j.connection_id, j.state, j.object_type, j.object_id, j.action, j.attempts, \
         j.conflicts, j.source_id, j.expires_at, j.waits_since, p.body, d.revision, d.depends_on, \
         coalesce(d.traceparent, x.traceparent), r.revision, i.action, i.body, i.body_hash, \
         i.revision, i.idempotency_key, i.answer_lost, i.counted, coalesce(r.counted, 0), \
         j.problem_code FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL \
         LEFT JOIN payload p ON p.job_id = j.id LEFT JOIN job_detail d ON d.job_id = j.id LEFT \
         JOIN intent i ON i.job_id = j.id LEFT JOIN delivered r ON r.connection_id = \
         j.connection_id AND r.object_type = j.object_type AND r.object_id = j.object_id WHERE \
         j.id IN",
        jobs.iter().copied(),
    );
    statement::rows(select, conn)
        .await?
        .iter()
        .map(|row| Ok((ConnectionId(row.try_get(1)?), claim(row)?)))
        .collect()
}

fn claim(row: &SqliteRow) -> Result<ClaimRow, StoreError> {
    let wall = |index: usize| -> Result<Option<Wall>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(index)?.map(Wall))
    };
    let number = |index: usize| -> Result<Option<u64>, StoreError> {
        Ok(row
            .try_get::<Option<i64>, _>(index)?
            .map(i64::cast_unsigned))
    };
    let depends_on: Option<&str> = row.try_get(13)?;
    let depends_on = depends_on
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| StoreError::Corrupt(format!("depends_on: {error}")))?;
    Ok(ClaimRow {
        job: JobSeq(row.try_get(0)?),
        state: codes::state(row.try_get(2)?)?,
        object: ObjectKey {
            object_type: row.try_get(3)?,
            id: row.try_get(4)?,
        },
        action: codes::action(row.try_get(5)?)?,
        attempts: row.try_get(6)?,
        conflicts: row.try_get(7)?,
        source: row.try_get::<Option<i64>, _>(8)?.map(SourceId),
        expires_at: wall(9)?,
        problem_code: row.try_get(24)?,
        waits_since: wall(10)?,
        payload: row.try_get(11)?,
        revision: number(12)?,
        depends_on: depends_on.unwrap_or_default(),
        traceparent: row.try_get(14)?,
        pinned: pinned(row)?,
        remotes: Vec::new(),
        delivered_revision: number(15)?,
        deliveries: number(23)?.unwrap_or(0),
    })
}

fn pinned(row: &SqliteRow) -> Result<Option<Pinned>, StoreError> {
    let Some(action) = row.try_get::<Option<i64>, _>(16)? else {
        return Ok(None);
    };
    Ok(Some(Pinned {
        action: codes::action(action)?,
        body: row.try_get(17)?,
        body_hash: codes::hash(row.try_get(18)?)?,
        revision: row.try_get::<Option<i64>, _>(19)?.map(i64::cast_unsigned),
        counted: row.try_get::<Option<i64>, _>(22)?.map(i64::cast_unsigned),
        idempotency_key: row.try_get(20)?,
        answer_lost: row.try_get(21)?,
    }))
}
