//! The stored history of jobs. It is bounded, because a source or a destination may make a job wait
//! for any time. Its first line, `submitted`, is not stored: it follows from the execution, and a
//! bulk is faster without it.

use std::collections::BTreeMap;

use egression_core::domain::ids::JobSeq;
use egression_core::time::Wall;

use crate::store::engine::sqlite::{self, Row};
use crate::store::engine::statement::{self, CHUNK};
use crate::store::engine::writer::WriteTx;
use crate::store::rows::{EventRow, NewEvent, columns};
use crate::store::{Store, StoreError};

/// The number of the line that is not stored.
const SUBMITTED: u32 = 1;
/// Lines at the beginning of a history that are always kept.
pub const FIRST_KEPT: u32 = 20;

impl Store {
    /// A job's history after `after`, ascending, `submitted` first.
    pub async fn events(
        &self,
        job: JobSeq,
        after: u32,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let submitted: Option<i64> = sqlite::query(
                    "SELECT x.created_at FROM job j \
                    JOIN execution x ON x.seq = j.id >> 24 WHERE j.id = ?1",
                )
                .bind(job.0)
                .optional_scalar(&mut *conn)?;
                let Some(submitted) = submitted else {
                    return Ok(Vec::new());
                };
                let stored = sqlite::query(
                    "SELECT seq, at, stage, attempt, http_status, duration_ms, detail, log FROM \
                     event WHERE job_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
                )
                .bind(job.0)
                .bind(after)
                .bind(limit)
                .fetch_all(conn)?;
                let first = (after < SUBMITTED).then(|| Ok(submitted_row(Wall(submitted))));
                first
                    .into_iter()
                    .chain(stored.iter().map(event_row))
                    .take(limit as usize)
                    .collect()
            })
        })
        .await
    }
}

/// Appends events to the jobs' histories. A history beyond the bound loses its oldest lines after
/// the first [`FIRST_KEPT`].
pub async fn append(tx: &mut WriteTx, events: &[(JobSeq, NewEvent)]) -> Result<(), StoreError> {
    // A statement sees the table as it was before: a new line's number is the job's largest number
    // plus the line's place in this chunk.
    for chunk in events.chunks(CHUNK) {
        let mut place = std::collections::HashMap::new();
        let numbered = chunk.iter().map(|(job, event)| {
            let place = place.entry(*job).or_insert(0u32);
            *place += 1;
            (job.0, *place, event)
        });
        let mut insert = statement::values(
            "WITH n (job, place, at, stage, attempt, http_status, duration_ms, detail, log) AS \
             MATERIALIZED (",
            numbered,
            |row, (job, place, event)| {
                row.push_bind(job)
                    .push_bind(place)
                    .push_bind(event.at.0)
                    .push_bind(event.stage)
                    .push_bind(event.attempt)
                    .push_bind(event.http_status)
                    .push_bind(event.duration_ms.map(u64::cast_signed))
                    .push_bind(event.detail.as_deref())
                    .push_bind(event.log.as_deref());
            },
        );
        insert.push(
            ") INSERT INTO event (job_id, seq, at, stage, attempt, http_status, duration_ms, \
             detail, log) SELECT job, coalesce((SELECT max(seq) FROM event WHERE job_id = n.job), \
             1) + place, at, stage, attempt, http_status, duration_ms, detail, log FROM n \
             RETURNING job_id, seq",
        );
        let mut long = BTreeMap::new();
        for row in statement::rows(insert, &mut tx.conn).await? {
            let (job, seq): (i64, i64) = (row.try_get("job_id")?, row.try_get("seq")?);
            if seq > i64::from(tx.events_per_job) {
                let last = long.entry(job).or_insert(seq);
                *last = seq.max(*last);
            }
        }
        shorten(tx, long).await?;
    }
    Ok(())
}

/// `long`: by job, the number of its last line, which is beyond the bound.
async fn shorten(tx: &mut WriteTx, long: BTreeMap<i64, i64>) -> Result<(), StoreError> {
    let newest = i64::from(tx.events_per_job.saturating_sub(FIRST_KEPT));
    for (job, last) in long {
        sqlite::query("DELETE FROM event WHERE job_id = ?1 AND seq > ?2 AND seq <= ?3")
            .bind(job)
            .bind(FIRST_KEPT)
            .bind(last - newest)
            .execute(&mut tx.conn)?;
    }
    Ok(())
}

fn submitted_row(at: Wall) -> EventRow {
    EventRow {
        seq: SUBMITTED,
        at,
        stage: "submitted".to_owned(),
        attempt: None,
        http_status: None,
        duration_ms: None,
        detail: None,
        log: None,
    }
}

fn event_row(row: &Row) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        seq: row.try_get("seq")?,
        at: Wall(row.try_get("at")?),
        stage: row.try_get("stage")?,
        attempt: row.try_get("attempt")?,
        http_status: row.try_get("http_status")?,
        duration_ms: columns::bits(row, "duration_ms")?,
        detail: row.try_get("detail")?,
        log: row.try_get("log")?,
    })
}
