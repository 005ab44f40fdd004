//! `POST /v1/jobs` and `POST /v1/bulk`: work is handed over, and the answer says what it became.
//!
//! Receiving runs in a task of its own: a client that leaves after its last byte cancels nothing,
//! and one that leaves before leaves nothing behind.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::api::middleware::auth::{Caller, Role};
use super::body::{self, BodyBounds, BodyReader};
use crate::api::tracking::execution_view::{self, ExecutionView};
use super::idempotency;
use super::receive::{Head, Intake, Received};
use super::submission::Submission;
use crate::api::http::query::Query;
use crate::api::http::prefer::Preferences;
use crate::api::http::problem::{ApiError, ProblemDocument};
use super::splitter::{Framing, Splitter};
use crate::api::state::ApiState;
use crate::api::tracking::job_view;
use crate::api::middleware::trace;
use crate::api::tracking::long_poll;
use crate::store::rows::JobFilter;

/// Where to follow an operation (Azure REST guidelines, long-running operations).
const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");

/// Submit one piece of work.
///
/// One action on one or more objects for one or more channels. With one object and one channel the
/// answer waits for the end for up to `sync_wait_ms` (1 s); `Prefer: wait=N` waits longer, for any
/// submission, and `Prefer: respond-async` not at all. What cannot be done is refused as a whole. A
/// destination's refusal is still a 200, with the job's state `rejected`.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "submit", operation_id = "submitJob",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Bare or quoted. The same key and body give the same execution."),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, `respond-async`.", example = "wait=10"),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; carried to source and destination."),
    ),
    request_body(content = Submission, content_type = "application/json"),
    responses(
        (status = 200, description = "Finished in time: the execution with its jobs' outcomes.", body = ExecutionView,
            headers(("Preference-Applied" = String), ("Location" = String))),
        (status = 202, description = "Durable, not finished: follow `Operation-Location`. If the state could not be read after the commit, the body has `id` and `links.jobs` only.", body = ExecutionView,
            headers(("Location" = String), ("Operation-Location" = String), ("Retry-After" = u32, description = "seconds"))),
        (status = 400, description = "Malformed, or it cannot be done.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The first request with this Idempotency-Key is still being received, or a connection of its jobs was removed meanwhile.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Too large.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown content coding.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used with another body.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many submissions of this API key are being received.", body = ProblemDocument, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "seconds"))),
        (status = 503, description = "The backlog is full.", body = ProblemDocument, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "seconds"))),
    ),
)]
pub async fn submit_job(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require(Role::Submit)?;
    let (parts, body) = request.into_parts();
    let preferences = Preferences::of(&parts.headers);
    body::require_media_type(&parts.headers, "application/json")?;
    // One submission that cannot be done leaves nothing to do: it is refused as a whole.
    let head = Head {
        strict: true,
        ..head("jobs", &parts.headers, preferences)?
    };
    let received = detached(
        &state,
        caller.clone(),
        head,
        parts.headers,
        body,
        receive_one,
    )
    .await?;
    let default_ms = if received.single {
        state.settings.sync_wait_ms
    } else {
        0
    };
    Ok(answer(
        &state,
        &caller,
        received,
        preferences,
        Waits::Always { default_ms },
    )
    .await)
}

/// Submit thousands at once.
///
/// The body is read as a stream. A job that cannot be done is kept as a refused item, with its
/// index, an excerpt and a problem; `Prefer: handling=strict` refuses the whole request instead. A
/// body that is malformed or cut off leaves nothing. `defaults` must come before `jobs`.
#[utoipa::path(
    post, path = "/v1/bulk", tag = "submit", operation_id = "submitBulk",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Bare or quoted. The same key and body give the same execution."),
        ("Prefer" = Option<String>, Header, description = "`handling=strict`, `wait=N` seconds.", example = "handling=strict"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip`, or none."),
        ("traceparent" = Option<String>, Header, description = "W3C Trace Context; carried to source and destination."),
    ),
    request_body(description = "`application/json`: `{\"defaults\":{…},\"jobs\":[…]}`. `application/x-ndjson`: one job a line, an optional first line `{\"defaults\":{…}}`.",
        content((BulkBody = "application/json"), (Submission = "application/x-ndjson"))),
    responses(
        (status = 202, description = "Durable: sent after the commit. If the state could not be read then, the body has `id` and `links.jobs` only.", body = ExecutionView,
            headers(("Location" = String), ("Operation-Location" = String), ("Retry-After" = u32, description = "seconds"))),
        (status = 200, description = "Finished within `Prefer: wait`, or a replay of what is finished.", body = ExecutionView),
        (status = 400, description = "Malformed or cut off; or strict, and some items are refused.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The first request with this Idempotency-Key is still being received, or a connection of its jobs was removed meanwhile.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "Too large, before or after decoding.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Neither JSON nor NDJSON, or an unknown content coding.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used with another body.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many submissions of this API key are being received.", body = ProblemDocument, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "seconds"))),
        (status = 503, description = "The backlog is full.", body = ProblemDocument, content_type = "application/problem+json", headers(("Retry-After" = u32, description = "seconds"))),
    ),
)]
pub async fn submit_bulk(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require(Role::Submit)?;
    let (parts, body) = request.into_parts();
    let preferences = Preferences::of(&parts.headers);
    framing(&parts.headers)?;
    let head = head("bulk", &parts.headers, preferences)?;
    let received = detached(
        &state,
        caller.clone(),
        head,
        parts.headers,
        body,
        receive_many,
    )
    .await?;
    Ok(answer(&state, &caller, received, preferences, Waits::Asked).await)
}

/// When the end of the work is part of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Whenever it is there in time; waited for this long unless asked otherwise.
    Always {
        /// Milliseconds.
        default_ms: u64,
    },
    /// Only with `Prefer: wait`.
    Asked,
}

/// The body of a bulk request in JSON.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the splitter reads")]
pub struct BulkBody {
    /// Fields that every job has unless it says otherwise. Must come first.
    defaults: Option<Submission>,
    /// The jobs.
    jobs: Vec<Submission>,
}

fn head(
    operation: &'static str,
    headers: &HeaderMap,
    preferences: Preferences,
) -> Result<Head, ApiError> {
    Ok(Head {
        operation,
        strict: preferences.strict,
        key: idempotency::key(headers)?,
        traceparent: trace::traceparent(headers),
    })
}

fn framing(headers: &HeaderMap) -> Result<Framing, ApiError> {
    match body::media_type(headers).as_str() {
        "application/json" => Ok(Framing::Json),
        "application/x-ndjson" => Ok(Framing::Lines),
        other => Err(ApiError::UnsupportedType(format!(
            "Content-Type `{other}` is not supported here, expected application/json or application/x-ndjson"
        ))),
    }
}

/// Runs the receiving in a task that outlives the request's own.
async fn detached<F, R>(
    state: &ApiState,
    caller: Caller,
    head: Head,
    headers: HeaderMap,
    body: Body,
    receive: F,
) -> Result<Received, ApiError>
where
    F: FnOnce(ApiState, Intake, HeaderMap, Body) -> R,
    R: Future<Output = Result<Received, ApiError>> + Send + 'static,
{
    let callers_permit = state
        .submission_limit
        .acquire(caller.principal())
        .ok_or_else(|| ApiError::TooMany {
            code: "too_many_submissions_of_key",
            detail: format!(
                "{} submissions of this API key are being received (bound `api.receive_per_key`)",
                state.settings.receive_per_key
            ),
            retry_after_s: 1,
        })?;
    let permit = std::sync::Arc::clone(&state.submissions)
        .try_acquire_owned()
        .map_err(|_| ApiError::Busy {
            code: "too_many_submissions",
            detail: format!(
                "{} submissions are being received (bound `api.receive_concurrency`)",
                state.settings.receive_concurrency
            ),
            retry_after_s: 1,
        })?;
    let intake = Intake::new(state.clone(), caller, head)?;
    let receiving = receive(state.clone(), intake, headers, body);
    let task = tokio::spawn(async move {
        let _permits = (permit, callers_permit);
        receiving.await
    });
    task.await
        .map_err(|error| ApiError::Internal(format!("receiving a submission failed: {error}")))?
}

async fn receive_one(
    state: ApiState,
    mut intake: Intake,
    headers: HeaderMap,
    body: Body,
) -> Result<Received, ApiError> {
    let bounds = BodyBounds::from_now(&state, state.settings.max_item_bytes, "api.max_item_bytes");
    let (text, hash) = body::read_whole(&headers, body, bounds).await?;
    let received = match intake.only(body::without_mark(&text)).await {
        Ok(()) => intake.finish(hash).await,
        Err(error) => Err(error),
    };
    if received.is_err() {
        intake.abandon().await;
    }
    received
}

async fn receive_many(
    state: ApiState,
    mut intake: Intake,
    headers: HeaderMap,
    body: Body,
) -> Result<Received, ApiError> {
    let received = receive_pieces(&state, &mut intake, &headers, body).await;
    if received.is_err() {
        intake.abandon().await;
    }
    received
}

async fn receive_pieces(
    state: &ApiState,
    intake: &mut Intake,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, ApiError> {
    let bounds = BodyBounds::from_now(state, state.settings.bulk_max_bytes, "api.bulk_max_bytes");
    let mut splitter = Splitter::new(framing(headers)?, state.settings.max_item_bytes);
    let mut reader = BodyReader::new(headers, body, bounds)?;
    let mut pieces = Vec::new();
    while let Some(bytes) = reader.next().await? {
        splitter.feed(&bytes, &mut pieces)?;
        for piece in pieces.drain(..) {
            intake.piece(piece).await?;
        }
    }
    splitter.finish(&mut pieces)?;
    for piece in pieces {
        intake.piece(piece).await?;
    }
    intake.finish(reader.finish()).await
}

/// Waits as preferred and answers with the execution as it stands then. It is durable by now, so
/// whatever goes wrong here is no refusal: the answer says where to follow it.
pub async fn answer(
    state: &ApiState,
    caller: &Caller,
    received: Received,
    preferences: Preferences,
    waits: Waits,
) -> Response {
    let path = format!("/v1/executions/{}", received.id);
    let location =
        HeaderValue::from_str(&path).unwrap_or(HeaderValue::from_static("/v1/executions"));
    match as_it_stands(
        state,
        caller,
        received,
        preferences,
        waits,
        location.clone(),
    )
    .await
    {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, execution = received.execution.0, trace_id = trace::current(), "accepted, but its state was not read");
            let headers = [
                (header::LOCATION, location.clone()),
                (OPERATION_LOCATION, location),
                (header::RETRY_AFTER, HeaderValue::from(1)),
            ];
            let body = serde_json::json!({"id": received.id.to_string(), "links": {"jobs": format!("{path}/jobs")}});
            (StatusCode::ACCEPTED, headers, axum::Json(body)).into_response()
        }
    }
}

async fn as_it_stands(
    state: &ApiState,
    caller: &Caller,
    received: Received,
    preferences: Preferences,
    waits: Waits,
    location: HeaderValue,
) -> Result<Response, ApiError> {
    let default_ms = if let Waits::Always { default_ms } = waits {
        default_ms
    } else {
        0
    };
    let asked_ms = preferences.wait_ms(default_ms, state.settings.max_wait_ms);
    let waiting = long_poll::permit(state, caller, asked_ms);
    let wait_ms = if waiting.is_some() { asked_ms } else { 0 };
    let status = long_poll::until(state, received.execution, wait_ms, execution_view::is_done).await?;
    drop(waiting);
    let status = status.ok_or_else(|| {
        ApiError::Internal(format!(
            "execution {} is not there after its seal",
            received.execution
        ))
    })?;
    let done = execution_view::is_done(&status);
    // A replay is answered with the execution as it stands now, waited for or not.
    let is_whole = done && (waits != Waits::Asked || wait_ms > 0 || received.replayed);
    let mut view = execution_view::view(state, &status);
    let total = view.counts.total;
    if is_whole && total <= u64::from(state.settings.page_default) {
        let jobs = state
            .store
            .jobs(
                received.execution,
                &JobFilter::default(),
                None,
                state.settings.page_default,
            )
            .await?;
        view.jobs = Some(job_view::views(state, jobs).await?);
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, location.clone());
    if let Some(applied) = preferences.applied(wait_ms > 0) {
        headers.insert("preference-applied", applied);
    }
    if is_whole {
        return Ok((StatusCode::OK, headers, axum::Json(view)).into_response());
    }
    headers.insert(OPERATION_LOCATION, location);
    if !done {
        headers.insert(
            header::RETRY_AFTER,
            execution_view::retry_after(state, &view),
        );
    }
    Ok((StatusCode::ACCEPTED, headers, axum::Json(view)).into_response())
}
