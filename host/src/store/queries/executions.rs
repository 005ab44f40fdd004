//! Executions and their counters, as the API shows them.

use egression_core::domain::ids::{
    ConnectionId, ExecutionId, ExecutionSeq, JobSeq, SubscriptionId,
};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::store::engine::predicates::waits;
use crate::store::engine::sqlite::{self, Connection, Row};
use crate::store::engine::statement::{self, Statement};
use crate::store::lifecycle::counters::{by_execution, progress_columns};
use crate::store::rows::{
    ErrorGroup, ExecutionFilter, ExecutionRow, ExecutionStatus, ProgressRow, WaitEnd, columns,
};
use crate::store::{Store, StoreError};

/// Groups of errors that a status shows.
const GROUPS_SHOWN: i64 = 20;

/// After `WITH w (e, c, b, kind) AS (SELECT …`.
pub const WAIT_ENDS: &str = concat!(
    ") SELECT e, c, b, kind, (SELECT min(j.due_at) FROM job j WHERE (j.id >> 24) = e \
     AND j.connection_id = c AND j.belt = b AND j.waiting = kind AND ",
    waits!("j."),
    " AND j.due_at IS NOT NULL) AS at FROM w"
);

const EXECUTION: &str = "SELECT x.seq, x.public_id, x.subscription_id, x.seal, \
    x.created_at, x.completed_at, x.expires_at, x.paused, x.cancel_requested_at, x.context, \
    x.traceparent, x.refused, (SELECT o.public_id FROM execution o WHERE o.seq = x.retry_of) AS \
    retry_of FROM execution x WHERE ";

impl Store {
    /// The execution of a public id. With `within`, one of another subscription is not found, by
    /// the same statement as one that does not exist.
    pub async fn find_execution(
        &self,
        id: ExecutionId,
        within: Option<SubscriptionId>,
    ) -> Result<Option<ExecutionStatus>, StoreError> {
        self.read(move |conn| Box::pin(async move { whole(conn, by_public_id(id, within)).await }))
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
                whole(conn, select).await
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
                let rows = listing(&filter, limit, now).build().fetch_all(&mut *conn)?;
                let mut statuses = rows.iter().map(status).collect::<Result<Vec<_>, _>>()?;
                add_progress(conn, &mut statuses).await?;
                Ok(statuses)
            })
        })
        .await
    }
}

pub fn by_public_id(id: ExecutionId, within: Option<SubscriptionId>) -> Statement {
    let mut select = Statement::new(EXECUTION);
    select
        .push("x.public_id = ")
        .push_bind(id.0.as_bytes().to_vec());
    push_within(&mut select, within);
    select
}

/// Restricts a selection of executions `x` to a subscription.
pub fn push_within(select: &mut Statement, within: Option<SubscriptionId>) {
    if let Some(subscription) = within {
        select
            .push(" AND x.subscription_id = ")
            .push_bind(subscription.0);
    }
}

/// The execution that a statement selects, with counters and grouped errors.
async fn whole(
    conn: &mut Connection,
    select: Statement,
) -> Result<Option<ExecutionStatus>, StoreError> {
    let Some(row) = select.build().fetch_optional(&mut *conn)? else {
        return Ok(None);
    };
    let mut status = status(&row)?;
    status.errors = errors(conn, status.row.seq).await?;
    add_progress(conn, std::slice::from_mut(&mut status)).await?;
    Ok(Some(status))
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
    push_within(&mut select, filter.subscription);
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
    conn: &mut Connection,
    statuses: &mut [ExecutionStatus],
) -> Result<(), StoreError> {
    if statuses.is_empty() {
        return Ok(());
    }
    let mut select = Statement::new(concat!(
        "SELECT ",
        progress_columns!(),
        " FROM progress WHERE execution_seq IN"
    ));
    statement::push_list(&mut select, statuses.iter().map(|status| status.row.seq.0));
    select.push(" ORDER BY execution_seq, connection_id, belt");
    let mut grouped = by_execution(&statement::rows(select, conn).await?)?;
    let ends = wait_ends(conn, grouped.values().flatten()).await?;
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
    conn: &mut Connection,
    rows: impl Iterator<Item = &ProgressRow>,
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
        .flat_map(|row| counted(row).map(move |(kind, jobs)| (row, kind, jobs)))
        .filter(|(.., jobs)| *jobs > 0)
        .map(|(row, kind, _)| (row.execution, row.connection, row.belt.belt, kind))
        .collect();
    let mut ends = Vec::with_capacity(wanted.len());
    let rows = statement::rows_of_values(
        conn,
        "WITH w (e, c, b, kind) AS MATERIALIZED (",
        &wanted,
        |row, (execution, connection, belt, kind)| {
            row.push_bind(execution.0)
                .push_bind(connection.0)
                .push_bind(*belt)
                .push_bind(kind.code());
        },
        WAIT_ENDS,
    );
    for row in rows.await? {
        let kind = columns::waiting(&row, "kind")?;
        if let (Some(kind), Some(at)) = (kind, columns::time(&row, "at")?) {
            ends.push(WaitEnd {
                execution: ExecutionSeq(row.try_get("e")?),
                connection: ConnectionId(row.try_get("c")?),
                belt: row.try_get("b")?,
                kind,
                at,
            });
        }
    }
    Ok(ends)
}

async fn errors(conn: &mut Connection, seq: ExecutionSeq) -> Result<Vec<ErrorGroup>, StoreError> {
    let rows = sqlite::query(
        "SELECT code, state, jobs, example_job FROM error_group WHERE execution_seq = ?1 ORDER BY \
         jobs DESC, code, state LIMIT ?2",
    )
    .bind(seq.0)
    .bind(GROUPS_SHOWN)
    .fetch_all(conn)?;
    rows.iter()
        .map(|row| {
            Ok(ErrorGroup {
                code: row.try_get("code")?,
                state: columns::state(row, "state")?,
                jobs: columns::count(row, "jobs")?,
                example: JobSeq(row.try_get("example_job")?),
            })
        })
        .collect()
}

/// An execution as it is stored, without its counters.
fn status(row: &Row) -> Result<ExecutionStatus, StoreError> {
    let is_retry = row.try_get::<Option<&[u8]>>("retry_of")?.is_some();
    let row = ExecutionRow {
        seq: ExecutionSeq(row.try_get("seq")?),
        id: columns::execution_id(row, "public_id")?,
        subscription: SubscriptionId(row.try_get("subscription_id")?),
        seal: row.try_get("seal")?,
        created_at: Wall(row.try_get("created_at")?),
        completed_at: columns::time(row, "completed_at")?,
        expires_at: columns::time(row, "expires_at")?,
        paused: row.try_get("paused")?,
        cancel_requested_at: columns::time(row, "cancel_requested_at")?,
        context: columns::json(row, "context")?,
        traceparent: row.try_get("traceparent")?,
        retry_of: is_retry
            .then(|| columns::execution_id(row, "retry_of"))
            .transpose()?,
        refused: columns::count(row, "refused")?,
    };
    Ok(ExecutionStatus {
        row,
        progress: Vec::new(),
        errors: Vec::new(),
        wait_ends: Vec::new(),
    })
}
