//! Finds the execution or job of a public id. The caller gets 404 for an unknown id and for one of
//! another tenant, and 410 for one that has expired. One query looks for the id within the caller's
//! subscription, so both take the same path and the same time.

use egression_core::domain::ids::{ExecutionId, JobId, SubscriptionId};
use egression_core::time::Wall;

use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::store::rows::{ExecutionStatus, JobRow};

pub async fn execution(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<ExecutionStatus, ApiError> {
    let missing = || ApiError::not_found("execution", id);
    let public: ExecutionId = id.parse().map_err(|_| missing())?;
    let gone = || ApiError::Gone(format!("execution `{id}` has expired"));
    let found = state
        .store
        .find_execution(public, caller.subscription)
        .await?;
    let status = found.ok_or_else(|| {
        if is_expired(state, public) {
            gone()
        } else {
            missing()
        }
    })?;
    let expires_at = status.row.expires_at;
    if expires_at.is_some_and(|at| at <= state.clock.wall()) {
        return Err(gone());
    }
    Ok(status)
}

/// An execution whose request has been received completely. Before that, no act applies to it.
pub async fn sealed_execution(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<ExecutionStatus, ApiError> {
    let status = execution(state, caller, id).await?;
    if status.row.seal.is_none() {
        let detail = format!("the host is still receiving execution `{id}`");
        return Err(ApiError::conflict("execution_receiving", detail));
    }
    Ok(status)
}

pub async fn job(state: &ApiState, caller: &Caller, id: &str) -> Result<JobRow, ApiError> {
    let missing = || ApiError::not_found("job", id);
    let public: JobId = id.parse().map_err(|_| missing())?;
    match state.store.job(public, caller.subscription).await? {
        Some(row) if row.kept_until.is_none_or(|at| at > state.clock.wall()) => Ok(row),
        None if !is_expired(state, public.execution) => Err(missing()),
        Some(_) | None => Err(ApiError::Gone(format!("job `{id}` has expired"))),
    }
}

/// Whether an unknown id is old enough that its execution would have expired. Ids contain their
/// time (UUID version 7), so the host keeps nothing about removed executions. An invented id with
/// an old time gets the same answer.
fn is_expired(state: &ApiState, id: ExecutionId) -> bool {
    let created_ms =
        id.0.get_timestamp()
            .map(|at| at.to_unix())
            .and_then(|(s, nanos)| i64::try_from(s * 1000 + u64::from(nanos) / 1_000_000).ok());
    created_ms.is_some_and(|ms| Wall(ms).plus_ms(state.store.retention_ms()) <= state.clock.wall())
}

/// The subscription that a list is filtered by: the named one, otherwise the caller's own.
pub fn subscription(
    state: &ApiState,
    caller: &Caller,
    named: Option<String>,
) -> Result<Option<SubscriptionId>, ApiError> {
    let Some(name) = named else {
        return Ok(caller.subscription);
    };
    let catalogue = state.configuration.catalogue();
    let found = catalogue.subscription(&name).map(|found| found.id);
    match found {
        Some(id) if caller.sees(id) => Ok(Some(id)),
        _ => Err(ApiError::not_found("subscription", name)),
    }
}
