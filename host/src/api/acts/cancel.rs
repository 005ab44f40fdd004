//! Cancelling executions and jobs. Jobs in flight are not touched: they keep their true outcome.

use axum::response::IntoResponse as _;
use egression_core::domain::state::JobState;

use crate::api::http::detached::detached;
use crate::api::http::problem::{ApiError, ApiResult};
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::api::tracking::execution_view::{self, ExecutionView};
use crate::api::tracking::job_view::{self, JobView};
use crate::api::tracking::{executions, find};
use crate::store::StoreError;

/// Cancel an execution
///
/// Waiting jobs end as cancelled. Jobs in flight finish and keep their true outcome; the host
/// continues to poll accepted jobs.
#[utoipa::path(
    post, path = "/v1/executions/{id}:cancel", tag = "act", operation_id = "cancelExecution",
    params(("id" = String, Path, description = "`exe_…`")),
    responses(
        (status = 202,
            description = "Cancelling: some jobs are still in flight or accepted.",
            body = ExecutionView),
        (status = 200, description = "Done.", body = ExecutionView),
        (status = 404, description = "Unknown execution."),
        (status = 409, description = "The host is still receiving it."),
    ),
)]
pub async fn cancel_execution(state: ApiState, caller: Caller, id: &str) -> ApiResult {
    caller.require(Role::Submit)?;
    let status = find::sealed_execution(&state, &caller, id).await?;
    let seq = status.row.seq;
    if !execution_view::is_done(&status) {
        let state = state.clone();
        detached(async move {
            let (changes, end) = state.store.cancel_execution(seq, state.clock.wall()).await;
            state.dispatcher.changed(changes).await;
            state.dispatcher.paused(seq, false).await;
            end
        })
        .await?;
    }
    executions::after_act(&state, seq, id).await
}

/// Cancel a waiting job
#[utoipa::path(
    post, path = "/v1/jobs/{id}:cancel", tag = "act", operation_id = "cancelJob",
    params(("id" = String, Path, description = "`job_…`")),
    responses(
        (status = 200, description = "Cancelled.", body = JobView),
        (status = 404, description = "Unknown job."),
        (status = 409, description = "The job is not waiting: it is in flight or accepted, or it \
                                      has ended."),
    ),
)]
pub async fn cancel_job(state: ApiState, caller: Caller, id: &str) -> ApiResult {
    caller.require(Role::Submit)?;
    let seq = find::job(&state, &caller, id).await?.seq;
    let own = state.clone();
    detached(async move {
        let (_, changes) = own.store.cancel_job(seq, own.clock.wall()).await?;
        own.dispatcher.changed(changes).await;
        Ok::<_, StoreError>(())
    })
    .await?;
    let row = find::job(&state, &caller, id).await?;
    if row.state != JobState::Cancelled {
        let now = row.state.as_str();
        let detail = format!("job `{id}` is {now}; only a waiting job can be cancelled");
        return Err(ApiError::conflict("job_not_waiting", detail));
    }
    Ok(axum::Json(job_view::view(&state, row).await?).into_response())
}
