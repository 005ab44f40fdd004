//! Executions: the status that clients poll, their list, and the verbs cancel, pause, resume.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use egression_core::domain::belt::BeltOnFailure;
use egression_core::domain::ids::{ConnectionId, ExecutionId, ExecutionSeq};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;

use crate::api::middleware::auth::{Caller, Role};
use crate::api::http::cursor::{self, List};
use super::execution_view::{self, ExecutionView, Status};
use crate::api::http::page::{self, Page};
use crate::api::http::query::Query;
use crate::api::http::prefer::Preferences;
use crate::api::http::problem::{ApiError, FieldError, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::http::custom_verb::{self, Segments};
use crate::api::http::etag;
use super::long_poll;
use crate::documents::catalogue::{Catalogue, Connection, ConnectionState};
use crate::store::rows::{ExecutionFilter, ExecutionStatus};

/// Executions read at most to fill one page of a list that is filtered by status.
const MAX_SCANNED: usize = 2000;
/// Executions read at least in one step of such a list.
const LEAST_READ: usize = 100;

/// The status of an execution.
///
/// Poll this: 200 while it is known, `Retry-After` until it is done. With `If-None-Match` an
/// unchanged execution is 304; with `Prefer: wait=30` as well, the answer waits for a change (a
/// long poll).
#[utoipa::path(
    get, path = "/v1/executions/{id}", tag = "follow", operation_id = "getExecution",
    params(
        ("id" = String, Path, description = "`exe_…`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds.", example = "wait=30"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` known."),
    ),
    responses(
        (status = 200, description = "As it stands.", body = ExecutionView,
            headers(("ETag" = String), ("Retry-After" = u32, description = "seconds; until it is done"), ("Preference-Applied" = String))),
        (status = 304, description = "As known."),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 410, description = "It is no longer kept.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn get_execution(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let id = segments.one();
    let status = find(&state, &caller, &id).await?;
    let preferences = Preferences::of(&headers);
    let asked_ms = preferences.wait_ms(0, state.settings.max_wait_ms);
    let seen = |status: &ExecutionStatus| {
        etag::is_known(&headers, &tag(&state.configuration.catalogue(), status))
    };
    let conditional = headers.contains_key(header::IF_NONE_MATCH);
    // Without a tag to compare with, waiting is for the end. What is done does not change any more,
    // so there is nothing to wait for, whatever the caller has seen.
    let enough = |status: &ExecutionStatus| {
        execution_view::is_done(status) || (conditional && !seen(status))
    };
    let mut applied = asked_ms > 0;
    let status = if asked_ms == 0 || enough(&status) {
        status
    } else if let Some(_permit) = long_poll::permit(&state, &caller, asked_ms) {
        long_poll::until(&state, status.row.seq, asked_ms, enough)
            .await?
            .ok_or_else(|| ApiError::not_found("execution", &id))?
    } else {
        applied = false;
        status
    };
    let mut answer = HeaderMap::new();
    // Before the view: a change in between makes the next poll ask again, and never hides itself.
    answer.insert(header::ETAG, tag(&state.configuration.catalogue(), &status));
    if let Some(applied) = preferences.applied(applied) {
        answer.insert("preference-applied", applied);
    }
    let view = execution_view::view(&state, &status);
    if !view.done {
        answer.insert(
            header::RETRY_AFTER,
            execution_view::retry_after(&state, &view),
        );
    }
    if seen(&status) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    Ok((answer, axum::Json(view)).into_response())
}

#[utoipa::path(
    get, path = "/v1/executions", tag = "follow", operation_id = "listExecutions",
    params(
        ("subscription" = Option<String>, Query, description = "Of one subscription."),
        ("status" = Option<Vec<String>>, Query, description = "With one of these statuses, separated by commas."),
        ("context.NAME" = Option<String>, Query, description = "With this pair in the context, like `context.run=2026-11-21`."),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given."),
        ("cursor" = Option<String>, Query, description = "Where the last page ended."),
    ),
    responses((status = 200, description = "A page. `errors` is empty in lists.", body = Page<ExecutionView>, headers(("Link" = String, description = "rel=next")))),
)]
pub async fn list_executions(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    uri: http::Uri,
) -> Result<Response, ApiError> {
    let catalogue = state.configuration.catalogue();
    let statuses = statuses(&mut query)?;
    let limit = query.limit()? as usize;
    let cursor = query
        .take("cursor")?
        .map(|text| cursor::read(List::Executions, &text))
        .transpose()?;
    let named = query.take("subscription")?;
    let context = query.pairs("context");
    query.finish()?;
    let subscription = match named {
        None => caller.subscription,
        Some(name) => match catalogue.subscription(&name).map(|found| found.id) {
            Some(id) if caller.sees(id) => Some(id),
            _ => return Err(ApiError::not_found("subscription", name)),
        },
    };
    let all_done = statuses.iter().all(|status| status.is_done());
    let none_done = statuses.iter().all(|status| !status.is_done());
    let done = if statuses.is_empty() || all_done == none_done {
        None
    } else {
        Some(all_done)
    };
    let mut filter = ExecutionFilter {
        subscription,
        done,
        context,
        before: cursor.map(ExecutionSeq),
    };
    let mut items = Vec::new();
    let mut scanned = 0;
    let more = loop {
        // A small page with a rare status is found in few steps all the same.
        let want = if statuses.is_empty() {
            limit
        } else {
            limit.max(LEAST_READ)
        }
        .min(state.settings.page_limit as usize);
        let rows = state
            .store
            .executions(&filter, u32::try_from(want).unwrap_or(u32::MAX))
            .await?;
        let full = rows.len() == want;
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
    let next = filter
        .before
        .filter(|_| more)
        .map(|seq| cursor::write(List::Executions, seq.0));
    Ok(page::answer(&uri, items, next))
}

/// Cancel an execution.
///
/// Waiting jobs end as cancelled; what is in flight finishes and keeps its true outcome; accepted
/// ones go on being polled.
#[utoipa::path(
    post, path = "/v1/executions/{id}:cancel", tag = "act", operation_id = "cancelExecution",
    params(("id" = String, Path, description = "`exe_…`")),
    responses(
        (status = 202, description = "Asked for; some jobs are still in flight or accepted.", body = ExecutionView),
        (status = 200, description = "Done.", body = ExecutionView),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is still being received.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn cancel_execution(
    state: ApiState,
    caller: Caller,
    id: &str,
) -> Result<Response, ApiError> {
    caller.require(Role::Submit)?;
    let status = find_sealed(&state, &caller, id).await?;
    let seq = status.row.seq;
    if !execution_view::is_done(&status) {
        let (store, scheduling, now) = (
            state.store.clone(),
            state.scheduling.clone(),
            state.clock.wall(),
        );
        // In a task of its own: the scheduler must hear of what the store did, even if the client
        // leaves.
        let task = tokio::spawn(async move {
            let (changes, end) = store.cancel_execution(seq, now).await;
            scheduling.changed(changes);
            scheduling.paused(seq, false);
            end
        });
        task.await
            .map_err(|error| ApiError::Internal(error.to_string()))??;
    }
    acted(&state, seq, id).await
}

/// Pause an execution: its waiting jobs keep their places and wait.
#[utoipa::path(
    post, path = "/v1/executions/{id}:pause", tag = "act", operation_id = "pauseExecution",
    params(("id" = String, Path, description = "`exe_…`")),
    responses(
        (status = 200, description = "Paused.", body = ExecutionView),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is done, or still being received.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn pause_execution(
    state: ApiState,
    caller: Caller,
    id: &str,
) -> Result<Response, ApiError> {
    let seq = find_under_way(&state, &caller, id).await?.row.seq;
    let (store, scheduling) = (state.store.clone(), state.scheduling.clone());
    // In a task of its own: the scheduler must hear of what the store did, even if the client
    // leaves.
    let task = tokio::spawn(async move {
        if store.pause_execution(seq).await? {
            scheduling.paused(seq, true);
        }
        Ok::<_, crate::store::StoreError>(())
    });
    task.await
        .map_err(|error| ApiError::Internal(error.to_string()))??;
    acted(&state, seq, id).await
}

/// Resume an execution: its pause ends, and belts that are held for a person (`belt_on_failure =
/// "hold"`) go.
///
/// A belt that was released stays open, and what failed before it holds no later belt; a failure in
/// it or behind it does.
#[utoipa::path(
    post, path = "/v1/executions/{id}:resume", tag = "act", operation_id = "resumeExecution",
    params(("id" = String, Path, description = "`exe_…`")),
    responses(
        (status = 200, description = "Goes on, as far as nothing else holds it.", body = ExecutionView),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is done, or still being received.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn resume_execution(
    state: ApiState,
    caller: Caller,
    id: &str,
) -> Result<Response, ApiError> {
    let status = find_under_way(&state, &caller, id).await?;
    let seq = status.row.seq;
    let catalogue = state.configuration.catalogue();
    let holds = |id: &ConnectionId| {
        catalogue
            .connection_by_id(*id)
            .is_some_and(|c| c.channel.document.belt_on_failure == BeltOnFailure::Hold)
    };
    let holding: BTreeSet<ConnectionId> = status
        .progress
        .iter()
        .map(|row| row.connection)
        .filter(holds)
        .collect();
    let (store, scheduling) = (state.store.clone(), state.scheduling.clone());
    let task = tokio::spawn(async move {
        let (was_paused, released) = store
            .resume_execution(seq, holding.into_iter().collect())
            .await?;
        if !released.progress.is_empty() {
            scheduling.changed(released);
        }
        if was_paused {
            scheduling.paused(seq, false);
        }
        Ok::<_, crate::store::StoreError>(())
    });
    task.await
        .map_err(|error| ApiError::Internal(error.to_string()))??;
    acted(&state, seq, id).await
}

/// `POST /v1/executions/{id}:VERB`.
pub async fn act(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (id, "cancel") => cancel_execution(state, caller, id).await,
        (id, "pause") => pause_execution(state, caller, id).await,
        (id, "resume") => resume_execution(state, caller, id).await,
        (_, other) => Err(custom_verb::unknown(other, "`:cancel`, `:pause` or `:resume`")),
    }
}

/// An execution that somebody pauses or resumes.
async fn find_under_way(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<ExecutionStatus, ApiError> {
    caller.require(Role::Submit)?;
    let status = find_sealed(state, caller, id).await?;
    if execution_view::is_done(&status) {
        return Err(ApiError::Conflict {
            code: "execution_done",
            detail: format!("execution `{id}` is done"),
        });
    }
    Ok(status)
}

/// An execution after a verb: 202 while a cancel is not through, else 200.
async fn acted(state: &ApiState, seq: ExecutionSeq, id: &str) -> Result<Response, ApiError> {
    let status = state
        .store
        .execution(seq)
        .await?
        .ok_or_else(|| ApiError::not_found("execution", id))?;
    let view = execution_view::view(state, &status);
    let code = if view.status == Status::Cancelling {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((code, axum::Json(view)).into_response())
}

/// The execution of a public id, if the caller may see it and it has not expired.
pub async fn find(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<ExecutionStatus, ApiError> {
    let missing = || ApiError::not_found("execution", id);
    let public: ExecutionId = id.parse().map_err(|_| missing())?;
    let gone = || ApiError::Gone(format!("execution `{id}` is no longer kept"));
    let absent = || {
        if is_forgotten(state, public) {
            gone()
        } else {
            missing()
        }
    };
    let seq = state
        .store
        .execution_seq(public)
        .await?
        .ok_or_else(absent)?;
    let status = state.store.execution(seq).await?.ok_or_else(absent)?;
    if !caller.sees(status.row.subscription) {
        return Err(missing());
    }
    if status
        .row
        .expires_at
        .is_some_and(|at| at <= state.clock.wall())
    {
        return Err(gone());
    }
    Ok(status)
}

/// Whether an id that is not there is that of an execution that would be forgotten by now. Ids
/// carry their time (UUID version 7), so that nothing has to be kept of what was removed; one that
/// was made up with a time long past is answered the same.
pub fn is_forgotten(state: &ApiState, id: ExecutionId) -> bool {
    let made_ms =
        id.0.get_timestamp()
            .map(|at| at.to_unix())
            .and_then(|(s, nanos)| i64::try_from(s * 1000 + u64::from(nanos) / 1_000_000).ok());
    made_ms.is_some_and(|ms| Wall(ms).plus_ms(state.store.retention_ms()) <= state.clock.wall())
}

/// The same, once it has been received whole: before that there is nothing to act on.
async fn find_sealed(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<ExecutionStatus, ApiError> {
    let status = find(state, caller, id).await?;
    if status.row.seal.is_none() {
        return Err(ApiError::Conflict {
            code: "execution_receiving",
            detail: format!("execution `{id}` is still being received"),
        });
    }
    Ok(status)
}

/// The tag of what is stored, pauses and parked connections included. What follows from the clock
/// (`eta`) or from the scheduler's moment (the rest of `waiting`) is left out, so that a long poll
/// ends with a change of the work.
fn tag(catalogue: &Catalogue, status: &ExecutionStatus) -> http::HeaderValue {
    /// Connection, belt, total, the counters of the states, those of the stored waiting reasons,
    /// and whether something was sent.
    type Belt = (i64, u32, u64, [u64; 9], [u64; 5], bool);
    #[derive(Serialize)]
    struct State<'a> {
        seal: Option<i64>,
        flags: (bool, bool, Option<i64>, Option<i64>),
        belts: Vec<Belt>,
        /// Connections whose jobs wait for a person: whether the channel is paused, and the
        /// connection's own state.
        held: Vec<(i64, bool, &'a str)>,
        errors: Vec<(&'a str, u64)>,
    }
    let row = &status.row;
    let holds = |connection: &Connection| {
        connection.channel.paused || connection.state != ConnectionState::Active
    };
    let waiting = status
        .progress
        .iter()
        .filter(|row| row.belt.states[JobState::Waiting as usize] > 0);
    let held = waiting
        .filter_map(|row| catalogue.connection_by_id(row.connection))
        .filter(|connection| holds(connection));
    let state = State {
        held: held
            .map(|c| (c.id.0, c.channel.paused, c.state.as_str()))
            .collect(),
        seal: row.seal,
        flags: (
            row.paused,
            row.cancel_requested_at.is_some(),
            row.completed_at.map(|at| at.0),
            row.expires_at.map(|at| at.0),
        ),
        belts: status
            .progress
            .iter()
            .map(|p| {
                let waits = [
                    p.scheduled,
                    p.retrying,
                    p.sourcing,
                    p.blocked,
                    p.belt.set_aside,
                ];
                (
                    p.connection.0,
                    p.belt.belt,
                    p.belt.total,
                    p.belt.states,
                    waits,
                    p.sent,
                )
            })
            .collect(),
        errors: status
            .errors
            .iter()
            .map(|group| (group.code.as_str(), group.jobs))
            .collect(),
    };
    etag::of_state(&serde_json::to_vec(&state).unwrap_or_default())
}

fn statuses(query: &mut Query) -> Result<Vec<Status>, ApiError> {
    let parse = |word: String| {
        Status::parse(&word).ok_or_else(|| {
            let known: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            ApiError::invalid(vec![FieldError::new(
                "?status",
                "invalid_value",
                format!(
                    "`{word}` is no status, expected one of {}",
                    known.join(", ")
                ),
            )])
        })
    };
    query.list("status").into_iter().map(parse).collect()
}
