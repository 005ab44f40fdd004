//! Executions: the status that clients poll, and their list.

use axum::extract::State;
use axum::response::IntoResponse as _;
use egression_core::domain::ids::ExecutionSeq;
use http::{HeaderMap, StatusCode, header};
use strum::VariantNames as _;

use super::execution_view::{self, ExecutionView, Status};
use super::{execution_tag, find, long_poll};
use crate::api::http::cursor::List;
use crate::api::http::etag;
use crate::api::http::no_query::NoQuery;
use crate::api::http::page::{self, Page};
use crate::api::http::prefer::Preferences;
use crate::api::http::problem::{ApiError, ApiResult};
use crate::api::http::query::Query;
use crate::api::intake::fields::MAX_CONTEXT_PAIRS;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::store::rows::{ExecutionFilter, ExecutionStatus};

/// Executions read at most to fill one page of a list that is filtered by status.
const MAX_SCANNED: usize = 2000;
/// Executions read at least in one step of such a list.
const MIN_STEP: usize = 100;

/// Get the status of an execution
///
/// The response is 200 until the execution expires, with `Retry-After` until it is done. With
/// `If-None-Match`, an unchanged execution is 304. With `Prefer: wait=30` and `If-None-Match`, the
/// response waits for a change (a long poll); without `If-None-Match`, it waits until the execution
/// is done.
#[utoipa::path(
    get, path = "/v1/executions/{id}", tag = "follow", operation_id = "getExecution",
    params(
        ("id" = String, Path, description = "`exe_…`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds.", example = "wait=30"),
        ("If-None-Match" = Option<String>, Header,
            description = "The `ETag` that the client knows."),
    ),
    responses(
        (status = 200, description = "The current state.", body = ExecutionView,
            headers(("ETag" = String), ("Retry-After" = u32,
                description = "Seconds; only until the execution is done."),
                    ("Preference-Applied" = String))),
        (status = 304, description = "Unchanged."),
        (status = 404, description = "Unknown execution."),
        (status = 410, description = "The execution has expired."),
    ),
)]
pub async fn get_execution(
    NoQuery(state, caller, segments): NoQuery,
    headers: HeaderMap,
) -> ApiResult {
    let id = segments.one();
    let status = find::execution(&state, &caller, &id).await?;
    let preferences = Preferences::of(&headers);
    let wait_ms = preferences.wait_ms(0, state.settings.max_wait_ms);
    let tag = |status: &_| execution_tag::tag(&state.configuration.catalogue(), status);
    let seen = |status: &_| etag::is_known(&headers, &tag(status));
    let conditional = headers.contains_key(header::IF_NONE_MATCH);
    // An execution that is done no longer changes, so there is nothing to wait for.
    let enough = |status: &ExecutionStatus| {
        execution_view::is_done(status) || (conditional && !seen(status))
    };
    let mut applied = wait_ms > 0;
    let status = if wait_ms == 0 || enough(&status) {
        status
    } else if let Some(_permit) = long_poll::permit(&state, &caller, wait_ms) {
        long_poll::until(&state, status.row.seq, wait_ms, enough)
            .await?
            .ok_or_else(|| ApiError::not_found("execution", &id))?
    } else {
        applied = false;
        status
    };
    let mut answer = HeaderMap::new();
    // Before the view: if something changes in between, the next poll sees it.
    answer.insert(header::ETAG, tag(&status));
    if let Some(applied) = preferences.applied(applied) {
        answer.insert("preference-applied", applied);
    }
    let view = execution_view::view(&state, &status);
    if !view.done {
        let retry_after = execution_view::retry_after(&state, &view);
        answer.insert(header::RETRY_AFTER, retry_after);
    }
    if seen(&status) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    Ok((answer, axum::Json(view)).into_response())
}

#[utoipa::path(
    get, path = "/v1/executions", tag = "follow", operation_id = "listExecutions",
    summary = "List executions, newest first",
    params(
        ("subscription" = Option<String>, Query, description = "Only of this subscription."),
        ("status" = Option<Vec<String>>, Query,
            description = "Only with one of these statuses, separated by commas."),
        ("context.NAME" = Option<String>, Query,
            description = "Only with this pair in the context, for example \
                           `context.run=2026-11-21`."),
        ("limit" = Option<u32>, Query, description = "Items per page; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The cursor from the previous page."),
    ),
    responses((status = 200, description = "A page. `errors` is empty in \
                                            lists.", body = Page<ExecutionView>,
            headers(("Link" = String, description = "rel=next")))),
)]
pub async fn list_executions(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    uri: http::Uri,
) -> ApiResult {
    let statuses = query.words::<Status>("status", Status::VARIANTS, |word| word.parse().ok())?;
    let limit = query.limit()? as usize;
    let cursor = query.cursor(List::Executions)?;
    let named = query.take("subscription")?;
    let context = query.pairs("context", MAX_CONTEXT_PAIRS)?;
    query.finish()?;
    let all_done = statuses.iter().all(|status| status.is_done());
    let none_done = statuses.iter().all(|status| !status.is_done());
    let done = if statuses.is_empty() || all_done == none_done {
        None
    } else {
        Some(all_done)
    };
    let mut filter = ExecutionFilter {
        subscription: find::subscription(&state, &caller, named)?,
        done,
        context,
        before: cursor.map(ExecutionSeq),
    };
    // A small page with a rare status still takes few steps.
    let step = if statuses.is_empty() {
        limit
    } else {
        limit.max(MIN_STEP)
    }
    .min(state.settings.page_limit as usize);
    let mut items = Vec::new();
    let mut scanned = 0;
    let more = loop {
        let rows = state
            .store
            .executions(&filter, u32::try_from(step).unwrap_or(u32::MAX))
            .await?;
        let full = rows.len() == step;
        for row in rows {
            scanned += 1;
            filter.before = Some(row.row.seq);
            let view = execution_view::view(&state, &row);
            if statuses.is_empty() || statuses.contains(&view.status) {
                items.push(view);
            }
            if items.len() == limit {
                break;
            }
        }
        if items.len() == limit || !full || scanned >= MAX_SCANNED {
            break full || items.len() == limit;
        }
    };
    let next = filter.before.filter(|_| more);
    let next = next.map(|seq| List::Executions.cursor(seq.0));
    Ok(page::answer(&uri, items, next))
}

/// An execution after an act: 202 while it is cancelling, otherwise 200.
pub async fn after_act(state: &ApiState, seq: ExecutionSeq, id: &str) -> ApiResult {
    let status = state.store.execution(seq).await?;
    let status = status.ok_or_else(|| ApiError::not_found("execution", id))?;
    let view = execution_view::view(state, &status);
    let code = if view.status == Status::Cancelling {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((code, axum::Json(view)).into_response())
}
