//! Jobs: those of an execution, one by its id, and its history.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq, JobSeq};
use egression_core::domain::state::JobState;
use http::{HeaderMap, header};

use super::find;
use super::job_view::{self, EventView, JobView};
use crate::api::http::cursor::List;
use crate::api::http::custom_verb::Segments;
use crate::api::http::no_query::NoQuery;
use crate::api::http::page::{self, Page};
use crate::api::http::problem::{ApiError, ApiResult};
use crate::api::http::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::middleware::serving::Permits;
use crate::api::middleware::trace;
use crate::api::state::ApiState;
use crate::store::rows::JobFilter;

/// Jobs in one step of a stream.
const STREAM_STEP: u32 = 500;

/// List the jobs of an execution
///
/// In the order of the request, with its refused items. With `Accept: application/x-ndjson`, the
/// response streams all of them, one per line: the error report.
#[utoipa::path(
    get, path = "/v1/executions/{id}/jobs", tag = "follow", operation_id = "listJobs",
    params(
        ("id" = String, Path, description = "`exe_…`"),
        ("state" = Option<Vec<String>>, Query,
            description = "Only in one of these states, separated by commas."),
        ("object_id" = Option<String>, Query, description = "Only of this object id."),
        ("object_type" = Option<String>, Query, description = "Only of this object type."),
        ("channel" = Option<String>, Query, description = "Only on this channel."),
        ("code" = Option<String>, Query, description = "Only with this problem code."),
        ("limit" = Option<u32>, Query, description = "Items per page; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The cursor from the previous page."),
    ),
    responses(
        (status = 200,
            description = "A page, or a stream of all jobs.",
            headers(("Link" = String, description = "rel=next")),
            content((Page<JobView> = "application/json"), (JobView = "application/x-ndjson"))),
        (status = 404, description = "Unknown execution."),
    ),
)]
pub async fn list_jobs(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    headers: HeaderMap,
    uri: http::Uri,
) -> ApiResult {
    let status = find::execution(&state, &caller, &segments.one()).await?;
    let execution = status.row.seq;
    let limit = query.limit()?;
    let after = query.cursor(List::Jobs)?.map(JobSeq);
    let filter = filter(&state, &mut query)?;
    query.finish()?;
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("application/x-ndjson")) {
        let permits = caller.serving.take();
        return Ok(stream(state, permits, execution, filter, after));
    }
    let rows = state.store.jobs(execution, &filter, after, limit).await?;
    let next = List::Jobs.next(&rows, limit, |row| row.seq.0);
    let items = job_view::views(&state, rows).await?;
    Ok(page::answer(&uri, items, next))
}

#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "follow", operation_id = "getJob",
    summary = "Get a job",
    params(("id" = String, Path, description = "`job_…`")),
    responses(
        (status = 200, description = "The current state.", body = JobView),
        (status = 404, description = "Unknown job."),
        (status = 410, description = "The job has expired."),
    ),
)]
pub async fn get_job(NoQuery(state, caller, segments): NoQuery) -> ApiResult {
    let row = find::job(&state, &caller, &segments.one()).await?;
    Ok(axum::Json(job_view::view(&state, row).await?).into_response())
}

/// Get the history of a job, oldest first
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", tag = "follow", operation_id = "listJobEvents",
    params(
        ("id" = String, Path, description = "`job_…`"),
        ("limit" = Option<u32>, Query, description = "Items per page; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The cursor from the previous page."),
    ),
    responses(
        (status = 200, description = "A page.", body = Page<EventView>, headers(("Link" = String,
            description = "rel=next"))),
        (status = 404, description = "Unknown job."),
    ),
)]
pub async fn list_events(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    uri: http::Uri,
) -> ApiResult {
    let limit = query.limit()?;
    let after = query.cursor(List::Events)?.unwrap_or(0);
    query.finish()?;
    let job = find::job(&state, &caller, &segments.one()).await?;
    let trace_id = job.traceparent.as_deref().and_then(trace::trace_id);
    let after = u32::try_from(after).unwrap_or(0);
    let rows = state.store.events(job.seq, after, limit).await?;
    let next = List::Events.next(&rows, limit, |row| i64::from(row.seq));
    let views = rows.into_iter().map(|row| EventView::of(row, trace_id));
    Ok(page::answer(&uri, views.collect(), next))
}

fn filter(state: &ApiState, query: &mut Query) -> Result<JobFilter, ApiError> {
    let connections: Vec<ConnectionId> = match query.take("channel")? {
        None => Vec::new(),
        Some(name) => {
            let catalogue = state.configuration.catalogue();
            let connections = catalogue.connections_of_channel(&name);
            let found: Vec<ConnectionId> = connections.map(|c| c.id).collect();
            // An unknown channel matches nothing; an empty filter would match everything.
            if found.is_empty() {
                vec![ConnectionId(-1)]
            } else {
                found
            }
        }
    };
    let known: Vec<&str> = JobState::ALL.iter().map(|state| state.as_str()).collect();
    Ok(JobFilter {
        states: query.words("state", &known, JobState::parse)?,
        object_id: query.take("object_id")?,
        object_type: query.take("object_type")?,
        connections,
        problem_code: query.take("code")?,
    })
}

/// All jobs, one per line. An error breaks the connection, so that a client never takes a part for
/// the whole. The request keeps its permits until the last line is out.
fn stream(
    state: ApiState,
    permits: Permits,
    execution: ExecutionSeq,
    filter: JobFilter,
    after: Option<JobSeq>,
) -> Response {
    let start = Some((state, permits, filter, after));
    let steps = futures_util::stream::unfold(start, move |at| async move {
        let (state, permits, filter, after) = at?;
        match lines(&state, execution, &filter, after).await {
            Ok((text, last)) => {
                let next = last.map(|last| (state, permits, filter, Some(last)));
                Some((Ok(text), next))
            }
            Err(error) => {
                tracing::error!(%error, "stream of jobs failed");
                Some((Err(std::io::Error::other(error.to_string())), None))
            }
        }
    });
    let content_type = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (content_type, Body::from_stream(steps)).into_response()
}

async fn lines(
    state: &ApiState,
    execution: ExecutionSeq,
    filter: &JobFilter,
    after: Option<JobSeq>,
) -> Result<(Bytes, Option<JobSeq>), ApiError> {
    let store = &state.store;
    let rows = store.jobs(execution, filter, after, STREAM_STEP).await?;
    let full = rows.len() == STREAM_STEP as usize;
    let last = rows.last().filter(|_| full).map(|row| row.seq);
    let mut text = Vec::new();
    for view in job_view::views(state, rows).await? {
        serde_json::to_writer(&mut text, &view)
            .map_err(|error| ApiError::Internal(error.to_string()))?;
        text.push(b'\n');
    }
    Ok((Bytes::from(text), last))
}
