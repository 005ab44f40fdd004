//! Executions and their counters, as the API shows them.

use egression_core::domain::ids::{
    ConnectionId, ExecutionId, ExecutionSeq, JobSeq, SubscriptionId,
};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::store::engine::predicates::waits;
use crate::store::engine::statement::{self, CHUNK, Statement};
use crate::store::lifecycle::counters::{by_execution, progress_columns, progress_row};
use crate::store::rows::{
    ErrorGroup, ExecutionFilter, ExecutionRow, ExecutionStatus, ProgressRow, WaitEnd, codes,
};
use crate::store::{Store, StoreError};

/// Groups of errors that a status shows.
const GROUPS_SHOWN: i64 = 20;

/// After `WITH w (e, c, b, kind) AS (VALUES …`.
pub const WAIT_ENDS: &str = concat!(
    ") SELECT e, c, b, kind, (SELECT min(j.due_at) FROM job j WHERE (j.id >> 24) = e \
     AND j.connection_id = c AND j.belt = b AND j.waiting = kind AND ",
    waits!("j."),
    " AND j.due_at IS NOT NULL) FROM w"
);

const EXECUTION: &str = "SELECT x.seq, x.public_id, x.subscription_id, x.seal, \
    x.created_at, x.completed_at, x.expires_at, x.paused, x.cancel_requested_at, x.context, \
    x.traceparent, (SELECT o.public_id FROM execution o WHERE o.seq = x.retry_of) AS retry_of \
    FROM execution x WHERE ";

impl Store {
    /// The number of a public id.
    pub async fn execution_seq(&self, id: ExecutionId) -> Result<Option<ExecutionSeq>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let seq = sqlx::query_scalar("SELECT seq FROM execution WHERE public_id = $1")
                    .bind(id.0.as_bytes().to_vec())
                    .fetch_optional(conn)
                    .await?;
                Ok(seq.map(ExecutionSeq))
            })
        })
        .await
    }

    /// An execution with counters and grouped errors, in one snapshot. Before its seal, they cover
    /// the jobs received so far.
    pub async fn execution(
        &self,
        seq: ExecutionSeq,
    ) -> Result<Option<ExecutionStatus>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let mut select = Statement::new(EXECUTION);
                select.push("x.seq = ").push_bind(seq.0);
                let Some(row) = select.build().fetch_optional(&mut *conn).await? else {
                    return Ok(None);
                };
                let mut status = ExecutionStatus {
                    row: execution(&row)?,
                    progress: Vec::new(),
                    errors: errors(conn, seq).await?,
                    wait_ends: Vec::new(),
                };
                add_progress(conn, std::slice::from_mut(&mut status)).await?;
                Ok(Some(status))
            })
        })
        .await
    }

    /// Kept executions, newest first, with their counters (errors empty).
    pub async fn executions(
        &self,
        filter: &ExecutionFilter,
        limit: u32,
    ) -> Result<Vec<ExecutionStatus>, StoreError> {
        let filter = filter.clone();
        let now = self.inner.clock.wall();
        self.read(move |conn| {
            Box::pin(async move {
                let rows = listing(&filter, limit, now)
                    .build()
                    .fetch_all(&mut *conn)
                    .await?;
                let mut statuses = rows
                    .iter()
                    .map(|row| {
                        Ok(ExecutionStatus {
                            row: execution(row)?,
                            progress: Vec::new(),
                            errors: Vec::new(),
                            wait_ends: Vec::new(),
                        })
                    })
                    .collect::<Result<Vec<_>, StoreError>>()?;
                add_progress(conn, &mut statuses).await?;
                Ok(statuses)
            })
        })
        .await
    }
}

fn listing(filter: &ExecutionFilter, limit: u32, now: Wall) -> Statement {
    let mut select = Statement::new(EXECUTION);
    select
        .push("x.seq < ")
        .push_bind(filter.before.map_or(i64::MAX, |before| before.0));
    // An expired execution may be removed in part.
    select
        .push(" AND (x.expires_at IS NULL OR x.expires_at > ")
        .push_bind(now.0)
        .push(")");
    if let Some(subscription) = filter.subscription {
        select
            .push(" AND x.subscription_id = ")
            .push_bind(subscription.0);
    }
    match filter.done {
        Some(true) => select.push(" AND x.completed_at IS NOT NULL"),
        Some(false) => select.push(" AND x.completed_at IS NULL"),
        None => &mut select,
    };
    for (name, value) in &filter.context {
        select
            .push(" AND EXISTS (SELECT 1 FROM json_each(x.context) WHERE key = ")
            .push_bind(name.as_str());
        select
            .push(" AND value = ")
            .push_bind(value.as_str())
            .push(")");
    }
    select.push(" ORDER BY x.seq DESC LIMIT ").push_bind(limit);
    select
}

async fn add_progress(
    conn: &mut SqliteConnection,
    statuses: &mut [ExecutionStatus],
) -> Result<(), StoreError> {
    if statuses.is_empty() {
        return Ok(());
    }
    let mut select = Statement::new(concat!(
        "SELECT ",
        progress_columns!(),
        " FROM progress WHERE execution_seq IN ("
    ));
    let mut list = select.separated(", ");
    for status in &*statuses {
        list.push_bind(status.row.seq.0);
    }
    select.push(") ORDER BY execution_seq, connection_id, belt");
    let rows = statement::rows(select, conn)
        .await?
        .iter()
        .map(progress_row)
        .collect::<Result<Vec<_>, StoreError>>()?;
    let ends = wait_ends(conn, &rows).await?;
    let mut grouped = by_execution(rows);
    for status in statuses {
        status.progress = grouped.remove(&status.row.seq).unwrap_or_default();
        status.wait_ends = ends
            .iter()
            .filter(|end| end.execution == status.row.seq)
            .copied()
            .collect();
    }
    Ok(())
}

/// Reads the index `job_wait_ends`, for the kinds that the counters show.
async fn wait_ends(
    conn: &mut SqliteConnection,
    rows: &[ProgressRow],
) -> Result<Vec<WaitEnd>, StoreError> {
    let counted = |row: &ProgressRow| {
        [
            (WaitingKind::Schedule, row.scheduled),
            (WaitingKind::Retry, row.retrying),
            (WaitingKind::Source, row.sourcing),
            (
                WaitingKind::Dependency,
                row.belt.set_aside.saturating_sub(row.blocked),
            ),
        ]
    };
    let wanted: Vec<_> = rows
        .iter()
        .flat_map(|row| counted(row).map(move |(kind, jobs)| (row, kind, jobs)))
        .filter(|(.., jobs)| *jobs > 0)
        .map(|(row, kind, _)| (row.execution, row.connection, row.belt.belt, kind))
        .collect();
    let mut ends = Vec::with_capacity(wanted.len());
    for chunk in wanted.chunks(CHUNK) {
        let mut select = statement::values(
            "WITH w (e, c, b, kind) AS (",
            chunk,
            |row, (execution, connection, belt, kind)| {
                row.push_bind(execution.0)
                    .push_bind(connection.0)
                    .push_bind(*belt)
                    .push_bind(kind.code());
            },
        );
        select.push(WAIT_ENDS);
        for row in statement::rows(select, conn).await? {
            let Some(at) = row.try_get::<Option<i64>, _>(4)?.map(Wall) else {
                continue;
            };
            let Some(kind) = codes::waiting(row.try_get(3)?)? else {
                continue;
            };
            ends.push(WaitEnd {
                execution: ExecutionSeq(row.try_get(0)?),
                connection: ConnectionId(row.try_get(1)?),
                belt: row.try_get(2)?,
                kind,
                at,
            });
        }
    }
    Ok(ends)
}

async fn errors(
    conn: &mut SqliteConnection,
    seq: ExecutionSeq,
) -> Result<Vec<ErrorGroup>, StoreError> {
    let rows = sqlx::query(
        "SELECT code, state, jobs, example_job FROM error_group WHERE execution_seq = $1 ORDER BY \
         jobs DESC, code, state LIMIT $2",
    )
    .bind(seq.0)
    .bind(GROUPS_SHOWN)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ErrorGroup {
                code: row.try_get(0)?,
                state: codes::state(row.try_get(1)?)?,
                jobs: u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0),
                example: JobSeq(row.try_get(3)?),
            })
        })
        .collect()
}

fn execution(row: &SqliteRow) -> Result<ExecutionRow, StoreError> {
    let wall = |column: &str| -> Result<Option<Wall>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Wall))
    };
    let context: Option<&str> = row.try_get("context")?;
    let retry_of: Option<&[u8]> = row.try_get("retry_of")?;
    Ok(ExecutionRow {
        seq: ExecutionSeq(row.try_get("seq")?),
        id: codes::execution_id(row.try_get("public_id")?)?,
        subscription: SubscriptionId(row.try_get("subscription_id")?),
        seal: row.try_get("seal")?,
        created_at: Wall(row.try_get("created_at")?),
        completed_at: wall("completed_at")?,
        expires_at: wall("expires_at")?,
        paused: row.try_get("paused")?,
        cancel_requested_at: wall("cancel_requested_at")?,
        context: context
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| StoreError::Corrupt(format!("context: {error}")))?,
        traceparent: row.try_get("traceparent")?,
        retry_of: retry_of.map(codes::execution_id).transpose()?,
    })
}
