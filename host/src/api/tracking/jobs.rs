//! Jobs: those of an execution, one by its id, its history, and its cancelling.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobId, JobSeq};
use egression_core::domain::state::JobState;
use http::{HeaderMap, StatusCode, header};

use crate::api::middleware::auth::{Caller, Role};
use crate::api::http::cursor::{self, List};
use super::job_view::{self, EventView, JobView};
use crate::api::http::page::{self, Page};
use crate::api::http::query::Query;
use crate::api::http::problem::{ApiError, ProblemDocument};
use crate::api::middleware::serving::Permits;
use crate::api::state::ApiState;
use crate::api::http::custom_verb::{self, Segments};
use super::executions;
use crate::api::middleware::trace;
use crate::store::rows::{JobFilter, JobRow};

/// Jobs in one step of a stream.
const STREAM_STEP: u32 = 500;

/// The jobs of an execution, in the order in which they were given; refused items are among them.
///
/// With `Accept: application/x-ndjson` all of them are streamed, one a line: the error report.
#[utoipa::path(
    get, path = "/v1/executions/{id}/jobs", tag = "follow", operation_id = "listJobs",
    params(
        ("id" = String, Path, description = "`exe_…`"),
        ("state" = Option<Vec<String>>, Query, description = "In one of these states, separated by commas."),
        ("object_id" = Option<String>, Query, description = "Of one object id."),
        ("object_type" = Option<String>, Query, description = "Of one object type."),
        ("channel" = Option<String>, Query, description = "On one channel."),
        ("code" = Option<String>, Query, description = "With this problem code."),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given."),
        ("cursor" = Option<String>, Query, description = "Where the last page ended."),
    ),
    responses(
        (status = 200, description = "A page, or a stream of all.", headers(("Link" = String, description = "rel=next")),
            content((Page<JobView> = "application/json"), (JobView = "application/x-ndjson"))),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn list_jobs(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    headers: HeaderMap,
    uri: http::Uri,
) -> Result<Response, ApiError> {
    let execution = executions::find(&state, &caller, &segments.one())
        .await?
        .row
        .seq;
    let limit = query.limit()?;
    let after = query
        .take("cursor")?
        .map(|text| cursor::read(List::Jobs, &text))
        .transpose()?
        .map(JobSeq);
    let filter = filter(&state, &mut query)?;
    query.finish()?;
    if headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|accept| accept.contains("application/x-ndjson"))
    {
        return Ok(stream(
            state,
            caller.serving.take(),
            execution,
            filter,
            after,
        ));
    }
    let rows = state.store.jobs(execution, &filter, after, limit).await?;
    let next = rows
        .last()
        .filter(|_| rows.len() == limit as usize)
        .map(|row| cursor::write(List::Jobs, row.seq.0));
    Ok(page::answer(
        &uri,
        job_view::views(&state, rows).await?,
        next,
    ))
}

#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "follow", operation_id = "getJob",
    params(("id" = String, Path, description = "`job_…`")),
    responses(
        (status = 200, description = "As it stands.", body = JobView),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 410, description = "It is no longer kept.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn get_job(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let row = find(&state, &caller, &segments.one()).await?;
    Ok(axum::Json(job_view::view(&state, row).await?).into_response())
}

/// A job's history, oldest first.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", tag = "follow", operation_id = "listJobEvents",
    params(
        ("id" = String, Path, description = "`job_…`"),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given."),
        ("cursor" = Option<String>, Query, description = "Where the last page ended."),
    ),
    responses(
        (status = 200, description = "A page.", body = Page<EventView>, headers(("Link" = String, description = "rel=next"))),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn list_events(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    uri: http::Uri,
) -> Result<Response, ApiError> {
    let limit = query.limit()?;
    let after = query
        .take("cursor")?
        .map(|text| cursor::read(List::Events, &text))
        .transpose()?
        .unwrap_or(0);
    query.finish()?;
    let job = find(&state, &caller, &segments.one()).await?;
    let trace_id = job
        .traceparent
        .filter(|t| trace::is_traceparent(t))
        .map(|t| t[3..35].to_owned());
    let rows = state
        .store
        .events(job.seq, u32::try_from(after).unwrap_or(0), limit)
        .await?;
    let next = rows
        .last()
        .filter(|_| rows.len() == limit as usize)
        .map(|row| cursor::write(List::Events, i64::from(row.seq)));
    let items: Vec<EventView> = rows
        .into_iter()
        .map(|row| EventView::of(row, trace_id.as_deref()))
        .collect();
    Ok(page::answer(&uri, items, next))
}

/// Cancel a job that waits.
#[utoipa::path(
    post, path = "/v1/jobs/{id}:cancel", tag = "act", operation_id = "cancelJob",
    params(("id" = String, Path, description = "`job_…`")),
    responses(
        (status = 200, description = "Cancelled.", body = JobView),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It does not wait: it is in flight, accepted, or ended otherwise.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn cancel_job(
    state: ApiState,
    caller: Caller,
    id: &str,
) -> Result<Response, ApiError> {
    caller.require(Role::Submit)?;
    let seq = find(&state, &caller, id).await?.seq;
    let (store, scheduling, now) = (
        state.store.clone(),
        state.scheduling.clone(),
        state.clock.wall(),
    );
    // In a task of its own: the scheduler must hear of what the store did, even if the client
    // leaves.
    let task = tokio::spawn(async move {
        store
            .cancel_job(seq, now)
            .await
            .map(|(_, changes)| scheduling.changed(changes))
    });
    task.await
        .map_err(|error| ApiError::Internal(error.to_string()))??;
    let row = find(&state, &caller, id).await?;
    if row.state != JobState::Cancelled {
        let detail = format!(
            "job `{id}` is {}: only a waiting job can be cancelled",
            row.state.as_str()
        );
        return Err(ApiError::Conflict {
            code: "job_not_waiting",
            detail,
        });
    }
    Ok((
        StatusCode::OK,
        axum::Json(job_view::view(&state, row).await?),
    )
        .into_response())
}

/// `POST /v1/jobs/{id}:VERB`.
pub async fn act(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (id, "cancel") => cancel_job(state, caller, id).await,
        (_, other) => Err(custom_verb::unknown(other, "`:cancel`")),
    }
}

/// The job of a public id, if the caller may see it and it has not expired.
async fn find(state: &ApiState, caller: &Caller, id: &str) -> Result<JobRow, ApiError> {
    let missing = || ApiError::not_found("job", id);
    let public: JobId = id.parse().map_err(|_| missing())?;
    match state.store.job(public).await? {
        Some(row) if !caller.sees(row.subscription) => Err(missing()),
        Some(row) if row.kept_until.is_none_or(|at| at > state.clock.wall()) => Ok(row),
        None if !executions::is_forgotten(state, public.execution) => Err(missing()),
        Some(_) | None => Err(ApiError::Gone(format!("job `{id}` is no longer kept"))),
    }
}

fn filter(state: &ApiState, query: &mut Query) -> Result<JobFilter, ApiError> {
    let parse = |word: String| {
        JobState::parse(&word).ok_or_else(|| {
            let known: Vec<_> = JobState::ALL.iter().map(|state| state.as_str()).collect();
            ApiError::parameter(
                "state",
                "invalid_value",
                format!("`{word}` is no state, expected one of {}", known.join(", ")),
            )
        })
    };
    let connections: Vec<ConnectionId> = match query.take("channel")? {
        None => Vec::new(),
        Some(name) => {
            let catalogue = state.configuration.catalogue();
            let found: Vec<ConnectionId> = catalogue
                .connections_of_channel(&name)
                .map(|connection| connection.id)
                .collect();
            // An unknown channel matches nothing; no filter would match everything.
            if found.is_empty() {
                vec![ConnectionId(-1)]
            } else {
                found
            }
        }
    };
    Ok(JobFilter {
        states: query
            .list("state")
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()?,
        object_id: query.take("object_id")?,
        object_type: query.take("object_type")?,
        connections,
        problem_code: query.take("code")?,
    })
}

/// All jobs, one a line. An error in the middle breaks the connection, so that a part is never
/// taken for the whole. The request keeps its permits until the last line is out.
fn stream(
    state: ApiState,
    permits: Permits,
    execution: ExecutionSeq,
    filter: JobFilter,
    after: Option<JobSeq>,
) -> Response {
    let steps =
        futures_util::stream::unfold(Some((state, permits, filter, after)), move |at| async move {
            let (state, permits, filter, after) = at?;
            match lines(&state, execution, &filter, after).await {
                Ok((text, last)) => Some((
                    Ok(text),
                    last.map(|last| (state, permits, filter, Some(last))),
                )),
                Err(error) => {
                    tracing::error!(%error, "a stream of jobs broke off");
                    Some((Err(std::io::Error::other(error.to_string())), None))
                }
            }
        });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(steps),
    )
        .into_response()
}

async fn lines(
    state: &ApiState,
    execution: ExecutionSeq,
    filter: &JobFilter,
    after: Option<JobSeq>,
) -> Result<(Bytes, Option<JobSeq>), ApiError> {
    let rows = state
        .store
        .jobs(execution, filter, after, STREAM_STEP)
        .await?;
    let last = rows
        .last()
        .filter(|_| rows.len() == STREAM_STEP as usize)
        .map(|row| row.seq);
    let mut text = Vec::new();
    for view in job_view::views(state, rows).await? {
        serde_json::to_writer(&mut text, &view)
            .map_err(|error| ApiError::Internal(error.to_string()))?;
        text.push(b'\n');
    }
    Ok((Bytes::from(text), last))
}
