//! Reopening a limit that a destination closed.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};

use super::act_request::{ActPreview, ActRequest, MAX_PREVIEWED};
use crate::api::http::detached::detached;
use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::api::tracking::limits::{self, LimitView};
use crate::gate::LimitReport;

/// Reopen a limit
///
/// Ends the time for which the destination closed it, and forgets what the destination reported
/// about it. The waiting jobs start at once, within the limit. A limit that is open stays open. An
/// admin of a subscription reopens the limits that only its connections share.
#[utoipa::path(
    post, path = "/v1/limits/{key}:reopen", tag = "act", operation_id = "reopenLimit",
    params(("key" = String, Path, description = "The key, percent-encoded.",
        example = "connection%3A7")),
    request_body = Option<ActRequest>,
    responses(
        (status = 200,
            description = "Reopened: the limit. With `dry_run`: what would happen.",
            body = LimitView),
        (status = 404, description = "Unknown limit."),
    ),
)]
pub async fn reopen_limit(
    state: ApiState,
    caller: Caller,
    key: &str,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let wanted = ActRequest::read(&state, request).await?;
    let report = find(&state, &caller, key)?;
    if !limits::owns(&state, &caller, &report) {
        return Err(ApiError::Forbidden(format!(
            "other subscriptions share the limit `{key}`; this request needs an admin key that is \
             not bound to a subscription"
        )));
    }
    if wanted.dry_run {
        let held = state.view().held_by_limit(key, MAX_PREVIEWED);
        return Ok(axum::Json(ActPreview::of(&state, &held).await?).into_response());
    }
    let (gate, owned) = (state.gate.clone(), key.to_owned());
    detached(async move { gate.reopen(&owned).await }).await?;
    tracing::info!(
        limit = key,
        actor = caller.key_id,
        reason = wanted.reason,
        "limit reopened"
    );
    let report = find(&state, &caller, key)?;
    Ok(axum::Json(limits::view(&state, &report)).into_response())
}

fn find(state: &ApiState, caller: &Caller, key: &str) -> Result<LimitReport, ApiError> {
    let mut reports = state.gate.limits().into_iter();
    reports
        .find(|report| &*report.key.0 == key && limits::sees(state, caller, report))
        .ok_or_else(|| ApiError::not_found("limit", key))
}
