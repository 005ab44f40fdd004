//! Jobs as the API shows them: lists, and one job.

use egression_core::domain::ids::{
    ConnectionId, ExecutionSeq, JobId, JobSeq, SourceId, SubscriptionId,
};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;

use crate::store::engine::predicates::went_wrong;
use crate::store::engine::sqlite::{self, Row};
use crate::store::engine::statement::{self, Statement};
use crate::store::queries::executions::push_within;
use crate::store::rows::{JobFilter, JobRow, columns};
use crate::store::{Store, StoreError};

/// The columns of [`job`], up to its condition.
pub const JOB: &str = "SELECT j.id, x.public_id, x.subscription_id, j.connection_id, j.belt, \
    j.object_type, j.object_id, j.partition_key, j.action, j.state, j.waiting, \
    j.due_at, j.attempts, j.source_id, j.expires_at, j.finished_at, j.changed, d.problem, \
    d.client_ref, d.excerpt, j.merged_into, x.created_at, d.scheduled_at, coalesce(d.traceparent, \
    x.traceparent) AS traceparent, x.expires_at AS kept_until, j.problem_code FROM job j JOIN \
    execution x ON x.seq = j.id >> 24 LEFT JOIN job_detail d ON d.job_id = j.id WHERE ";

impl Store {
    /// Jobs of an execution after `after`, ascending.
    pub async fn jobs(
        &self,
        execution: ExecutionSeq,
        filter: &JobFilter,
        after: Option<JobSeq>,
        limit: u32,
    ) -> Result<Vec<JobRow>, StoreError> {
        let filter = filter.clone();
        self.read(move |conn| {
            Box::pin(async move {
                let mut found = Vec::new();
                for states in searches(&filter.states) {
                    let select = list(execution, &filter, states, after, limit);
                    for row in select.build().fetch_all(&mut *conn)? {
                        found.push(job(&row)?);
                    }
                }
                found.sort_unstable_by_key(|job| job.seq);
                found.truncate(limit as usize);
                Ok(found)
            })
        })
        .await
    }

    /// A job by its public id. With `within`, one of another subscription is not found, by the same
    /// statement as one that does not exist.
    pub async fn job(
        &self,
        id: JobId,
        within: Option<SubscriptionId>,
    ) -> Result<Option<JobRow>, StoreError> {
        self.read(move |conn| {
            Box::pin(async move {
                let select = by_public_id(id, within);
                let row = select.build().fetch_optional(conn)?;
                row.as_ref().map(job).transpose()
            })
        })
        .await
    }

    /// The public id of a job's number.
    pub async fn job_id(&self, seq: JobSeq) -> Result<Option<JobId>, StoreError> {
        let select = sqlite::query(
            "SELECT j.id, x.public_id FROM job j JOIN execution x ON x.seq = j.id >> 24 WHERE j.id \
             = ?1",
        );
        self.one(select.bind(seq.0), |row| {
            Ok(JobId {
                execution: columns::execution_id(row, "public_id")?,
                index: JobSeq(row.try_get("id")?).index(),
            })
        })
        .await
    }
}

pub fn by_public_id(id: JobId, within: Option<SubscriptionId>) -> Statement {
    let mut select = Statement::new(JOB);
    select
        .push("j.id = ((SELECT seq FROM execution WHERE public_id = ")
        .push_bind(id.execution.0.as_bytes().to_vec());
    select.push(") << 24 | ").push_bind(id.index).push(")");
    push_within(&mut select, within);
    select
}

/// One search for all states. If all of them are rare: one search each, from the index of rejected,
/// failed and unknown jobs.
fn searches(states: &[JobState]) -> Vec<Vec<JobState>> {
    let rare = |state: &JobState| {
        matches!(
            state,
            JobState::Rejected | JobState::Failed | JobState::Unknown
        )
    };
    if !states.is_empty() && states.iter().all(rare) {
        let mut each = states.to_vec();
        each.sort_unstable();
        each.dedup();
        each.into_iter().map(|state| vec![state]).collect()
    } else {
        vec![states.to_vec()]
    }
}

fn list(
    execution: ExecutionSeq,
    filter: &JobFilter,
    states: Vec<JobState>,
    after: Option<JobSeq>,
    limit: u32,
) -> Statement {
    let first = after.unwrap_or(JobSeq(execution.job(0).0 - 1)).0;
    let mut select = Statement::new(JOB);
    select
        .push("j.id > ")
        .push_bind(first.max(execution.job(0).0 - 1))
        .push(" AND j.id < ")
        .push_bind(execution.end().0);
    if let [state @ (JobState::Rejected | JobState::Failed | JobState::Unknown)] = states.as_slice()
    {
        // The first term names the index, the second the place in it.
        select
            .push(concat!(" AND ", went_wrong!("j."), " AND j.state = "))
            .push_bind(state.code());
    } else if !states.is_empty() {
        push_in(
            &mut select,
            "j.state",
            states.iter().map(|state| state.code()),
        );
    }
    if !filter.connections.is_empty() {
        push_in(
            &mut select,
            "j.connection_id",
            filter.connections.iter().map(|connection| connection.0),
        );
    }
    if let Some(id) = &filter.object_id {
        select.push(" AND j.object_id = ").push_bind(id.as_str());
    }
    if let Some(object_type) = &filter.object_type {
        select
            .push(" AND j.object_type = ")
            .push_bind(object_type.as_str());
    }
    if let Some(code) = &filter.problem_code {
        select
            .push(" AND j.problem_code = ")
            .push_bind(code.as_str());
    }
    select.push(" ORDER BY j.id LIMIT ").push_bind(limit);
    select
}

fn push_in(select: &mut Statement, column: &'static str, values: impl Iterator<Item = i64>) {
    select.push(" AND ").push(column).push(" IN");
    statement::push_list(select, values);
}

pub fn job(row: &Row) -> Result<JobRow, StoreError> {
    let object = columns::object(row)?;
    let own_key: Option<String> = row.try_get("partition_key")?;
    Ok(JobRow {
        seq: JobSeq(row.try_get("id")?),
        execution: columns::execution_id(row, "public_id")?,
        subscription: SubscriptionId(row.try_get("subscription_id")?),
        connection: row
            .try_get::<Option<i64>>("connection_id")?
            .map(ConnectionId),
        belt: row.try_get("belt")?,
        partition_key: own_key.unwrap_or_else(|| object.to_string()),
        object,
        action: columns::action(row, "action")?,
        state: columns::state(row, "state")?,
        waiting: columns::waiting(row, "waiting")?,
        due_at: columns::time(row, "due_at")?,
        attempts: row.try_get("attempts")?,
        source: row.try_get::<Option<i64>>("source_id")?.map(SourceId),
        expires_at: columns::time(row, "expires_at")?,
        finished_at: columns::time(row, "finished_at")?,
        changed: row.try_get("changed")?,
        problem: columns::json(row, "problem")?,
        client_ref: row.try_get("client_ref")?,
        excerpt: row.try_get("excerpt")?,
        merged_into: row.try_get::<Option<i64>>("merged_into")?.map(JobSeq),
        created_at: Wall(row.try_get("created_at")?),
        scheduled_at: columns::time(row, "scheduled_at")?,
        traceparent: row.try_get("traceparent")?,
        kept_until: columns::time(row, "kept_until")?,
        code: row.try_get("problem_code")?,
    })
}
