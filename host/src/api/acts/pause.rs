//! Pausing and resuming executions.

use std::collections::BTreeSet;

use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::ids::ConnectionId;

use crate::api::http::detached::detached;
use crate::api::http::problem::{ApiError, ApiResult};
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::api::tracking::execution_view::{self, ExecutionView};
use crate::api::tracking::{executions, find};
use crate::store::StoreError;
use crate::store::rows::ExecutionStatus;

/// Pause an execution
///
/// Its waiting jobs keep their places in the queue.
#[utoipa::path(
    post, path = "/v1/executions/{id}:pause", tag = "act", operation_id = "pauseExecution",
    params(("id" = String, Path, description = "`exe_…`")),
    responses(
        (status = 200, description = "Paused.", body = ExecutionView),
        (status = 404, description = "Unknown execution."),
        (status = 409, description = "The execution is done, or the host is still receiving it."),
    ),
)]
pub async fn pause_execution(state: ApiState, caller: Caller, id: &str) -> ApiResult {
    let seq = unfinished(&state, &caller, id).await?.row.seq;
    let own = state.clone();
    detached(async move {
        if own.store.pause_execution(seq).await? {
            own.dispatcher.paused(seq, true).await;
        }
        Ok::<_, StoreError>(())
    })
    .await?;
    executions::after_act(&state, seq, id).await
}

/// Resume an execution
///
/// Its pause ends, and belts that wait for a person (`belt_on_failure = "hold"`) continue. A
/// released belt stays open: failures before it no longer hold later belts, but a failure in it or
/// after it does.
#[utoipa::path(
    post, path = "/v1/executions/{id}:resume", tag = "act", operation_id = "resumeExecution",
    params(("id" = String, Path, description = "`exe_…`")),
    responses(
        (status = 200,
            description = "Resumed, unless something else holds it.", body = ExecutionView),
        (status = 404, description = "Unknown execution."),
        (status = 409, description = "The execution is done, or the host is still receiving it."),
    ),
)]
pub async fn resume_execution(state: ApiState, caller: Caller, id: &str) -> ApiResult {
    let status = unfinished(&state, &caller, id).await?;
    let seq = status.row.seq;
    let catalogue = state.configuration.catalogue();
    let holds = |id: &ConnectionId| {
        catalogue
            .connection_by_id(*id)
            .is_some_and(|c| c.channel.document.belt_on_failure == BeltOnFailure::Hold)
    };
    let connections = status.progress.iter().map(|row| row.connection);
    let holding: BTreeSet<ConnectionId> = connections.filter(holds).collect();
    let own = state.clone();
    detached(async move {
        let (was_paused, released) = own
            .store
            .resume_execution(seq, holding.into_iter().collect())
            .await?;
        if !released.progress.is_empty() {
            own.dispatcher.changed(released).await;
        }
        if was_paused {
            own.dispatcher.paused(seq, false).await;
        }
        Ok::<_, StoreError>(())
    })
    .await?;
    executions::after_act(&state, seq, id).await
}

async fn unfinished(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<ExecutionStatus, ApiError> {
    caller.require(Role::Submit)?;
    let status = find::sealed_execution(state, caller, id).await?;
    if execution_view::is_done(&status) {
        let detail = format!("execution `{id}` is done");
        return Err(ApiError::conflict("execution_done", detail));
    }
    Ok(status)
}
