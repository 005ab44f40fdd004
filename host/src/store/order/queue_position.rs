//! The queue position of a job: the earlier jobs of its key, and the objects that it waits for.

use std::collections::HashMap;

use egression_core::domain::ids::JobSeq;
use egression_core::domain::object::ObjectKey;

use crate::store::engine::predicates::{holds_key, waits_for_object};
use crate::store::engine::statement::{self, CHUNK};
use crate::store::rows::columns;
use crate::store::{Store, StoreError};

/// After `WITH wanted (id) AS (SELECT …`, and before the limit: for each job, the number of jobs
/// that hold it. An index bounds each part, so jobs behind it cost nothing, and reading stops at
/// the limit:
///
/// 1. of its own execution, those of its belt with smaller numbers;
/// 2. those of the belts before;
/// 3. of the executions sealed before its seal, all. They are stepped over one by one, so that of
///    one that is still being received, or was sealed later, a single job is read. One numbered
///    above the seal holds nothing earlier;
/// 4. those with a seal of their own, of which no two are the same;
/// 5. those that wait for an object, which hold later jobs of their own object only.
pub const QUEUE_POSITION: &str = concat!(
    "), me (id, c, k, o, seal, belt, own) AS (SELECT j.id, j.connection_id, j.key_hash, \
     j.object_hash, ",
    "CASE j.seal WHEN 0 THEN x.seal ELSE j.seal END, j.belt, CASE j.seal WHEN 0 THEN x.seq END ",
    "FROM wanted w JOIN job j ON j.id = w.id JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS \
     NOT NULL) ",
    "SELECT me.id AS id, (SELECT count(*) FROM (SELECT 1 FROM job j WHERE j.connection_id = me.c \
     AND j.key_hash = me.k AND j.seal = 0 AND ",
    holds_key!("j."),
    " AND (j.id >> 24) = me.own AND j.belt = me.belt AND j.id < me.id ",
    "UNION ALL SELECT 1 FROM job j WHERE j.connection_id = me.c AND j.key_hash = me.k AND j.seal \
     = 0 AND ",
    holds_key!("j."),
    " AND (j.id >> 24) = me.own AND j.belt < me.belt ",
    "UNION ALL SELECT 1 FROM (WITH RECURSIVE walk (n) AS (VALUES (-1) UNION ALL SELECT (SELECT \
     f.id >> 24 FROM job f ",
    "WHERE f.connection_id = me.c AND f.key_hash = me.k AND f.seal = 0 AND ",
    holds_key!("f."),
    " AND (f.id >> 24) > walk.n AND (f.id >> 24) <= me.seal ORDER BY (f.id >> 24) LIMIT 1) FROM \
     walk WHERE walk.n IS NOT NULL) ",
    "SELECT n FROM walk) w CROSS JOIN execution x CROSS JOIN job j WHERE x.seq = w.n AND x.seal < \
     me.seal ",
    "AND j.connection_id = me.c AND j.key_hash = me.k AND j.seal = 0 AND ",
    holds_key!("j."),
    " AND (j.id >> 24) = w.n ",
    "UNION ALL SELECT 1 FROM job j WHERE j.connection_id = me.c AND j.key_hash = me.k AND j.seal \
     > 0 AND ",
    holds_key!("j."),
    " AND j.seal < me.seal ",
    "UNION ALL SELECT 1 FROM job j JOIN execution x ON x.seq = j.id >> 24 AND x.seal IS NOT NULL ",
    concat!(
        "WHERE j.connection_id = me.c AND j.object_hash = me.o AND ",
        waits_for_object!("j."),
        " AND j.key_hash = me.k "
    ),
    "AND (CASE j.seal WHEN 0 THEN x.seal ELSE j.seal END, j.belt, j.id) < (me.seal, me.belt, \
     me.id) LIMIT "
);

impl Store {
    /// For each of these jobs, the number of unfinished jobs of its key that hold it, counted up to
    /// `most`.
    pub async fn queue_positions(
        &self,
        jobs: &[JobSeq],
        most: u32,
    ) -> Result<HashMap<JobSeq, u32>, StoreError> {
        let jobs = jobs.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut ahead = HashMap::with_capacity(jobs.len());
                for chunk in jobs.chunks(CHUNK) {
                    let mut select = statement::values(
                        "WITH wanted (id) AS MATERIALIZED (",
                        chunk,
                        |row, job| {
                            row.push_bind(job.0);
                        },
                    );
                    select
                        .push(QUEUE_POSITION)
                        .push_bind(most)
                        .push(") AS held) AS ahead FROM me");
                    for row in statement::rows(select, conn).await? {
                        ahead.insert(JobSeq(row.try_get("id")?), row.try_get("ahead")?);
                    }
                }
                Ok(ahead)
            })
        })
        .await
    }

    /// For each of these jobs that waits for objects, one of the objects.
    pub async fn awaited(
        &self,
        children: &[JobSeq],
    ) -> Result<HashMap<JobSeq, ObjectKey>, StoreError> {
        let children = children.to_vec();
        self.read(move |conn| {
            Box::pin(async move {
                let mut awaited = HashMap::new();
                let select = "SELECT child_job, parent_type AS object_type, parent_id AS \
                    object_id FROM dependency WHERE child_job IN";
                for row in statement::rows_among(conn, select, &children).await? {
                    let child = JobSeq(row.try_get("child_job")?);
                    awaited.entry(child).or_insert(columns::object(&row)?);
                }
                Ok(awaited)
            })
        })
        .await
    }
}
