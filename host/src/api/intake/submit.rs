//! `POST /v1/jobs` and `POST /v1/bulk`.
//!
//! Receiving runs in its own task. If the client disconnects after its last byte, the submission
//! continues; if it disconnects earlier, nothing is stored.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::body::{self, BodyBounds, BodyReader};
use super::idempotency;
use super::receive::{Head, Intake, Received};
use super::rest::Rest;
use super::splitter::{Framing, Piece, Splitter};
use super::submission::Submission;
use crate::api::http::detached::detached;
use crate::api::http::no_query::NoQuery;
use crate::api::http::prefer::Preferences;
use crate::api::http::problem::{ApiError, ApiResult};
use crate::api::middleware::auth::{Caller, Role};
use crate::api::middleware::trace;
use crate::api::state::ApiState;
use crate::api::tracking::execution_view::{self, ExecutionView};
use crate::api::tracking::job_view;
use crate::api::tracking::long_poll;
use crate::store::rows::JobFilter;

/// The status endpoint of a long-running operation (Azure REST guidelines).
const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");

/// Submit jobs
///
/// One action on one or more objects for one or more channels. With one object and one channel, the
/// response waits up to `sync_wait_ms` (1 s) for the result. `Prefer: wait=N` waits longer, for any
/// submission; `Prefer: respond-async` does not wait. An invalid submission is refused as a whole.
/// If the destination refuses the object, the response is still 200, with the job's state
/// `rejected`.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "submit", operation_id = "submitJob",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "Bare or quoted. The same key with the same body returns the same \
                           execution."),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, `respond-async`.",
            example = "wait=10"),
        ("traceparent" = Option<String>, Header,
            description = "W3C Trace Context; sent to the source and the destination."),
    ),
    request_body(content = Submission, content_type = "application/json"),
    responses(
        (status = 200,
            description = "Finished in time: the execution with the outcomes of its jobs.",
            body = ExecutionView,
            headers(("Preference-Applied" = String), ("Location" = String))),
        (status = 202, description = "Durable, but not finished: follow `Operation-Location`. If \
                                      the host could not read the state after the commit, the body \
                                      has only `id` and `links.jobs`.", body = ExecutionView,
            headers(("Location" = String), ("Operation-Location" = String), ("Retry-After" = u32,
                description = "Seconds."))),
        (status = 400, description = "Malformed or invalid."),
        (status = 409, description = "The host is still receiving the first request with this \
                                      Idempotency-Key, or a connection of the jobs was deleted \
                                      meanwhile."),
        (status = 413, description = "Too large."),
        (status = 415, description = "Not JSON, or an unsupported content encoding."),
        (status = 422, description = "The Idempotency-Key was already used with another body."),
        (status = 429,
            description = "Too many concurrent submissions of this API key.",
            headers(("Retry-After" = u32, description = "Seconds."))),
        (status = 503,
            description = "The backlog is full.",
            headers(("Retry-After" = u32, description = "Seconds."))),
    ),
)]
pub async fn submit_job(NoQuery(state, caller, _): NoQuery, request: Request) -> ApiResult {
    caller.require(Role::Submit)?;
    let (parts, body) = request.into_parts();
    let preferences = Preferences::of(&parts.headers);
    body::require_media_type(&parts.headers, "application/json")?;
    // A single invalid submission is refused as a whole.
    let head = Head {
        strict: true,
        ..head("jobs", &parts.headers, preferences)?
    };
    let (submitter, headers) = (caller.clone(), parts.headers);
    let received = receive_in_own_task(&state, submitter, head, headers, body, receive_one).await?;
    let default_ms = if received.single {
        state.settings.sync_wait_ms
    } else {
        0
    };
    let waits = Waits::Always { default_ms };
    Ok(answer(&state, &caller, received, preferences, waits).await)
}

/// Submit thousands of jobs
///
/// The host reads the body as a stream. An invalid job becomes a refused item with its index, an
/// excerpt and a problem; with `Prefer: handling=strict`, the whole request is refused instead. A
/// malformed or incomplete body stores nothing. `defaults` must come before `jobs`.
#[utoipa::path(
    post, path = "/v1/bulk", tag = "submit", operation_id = "submitBulk",
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "Bare or quoted. The same key with the same body returns the same \
                           execution."),
        ("Prefer" = Option<String>, Header, description = "`handling=strict`, `wait=N` seconds.",
            example = "handling=strict"),
        ("Content-Encoding" = Option<String>, Header, description = "`gzip` or none."),
        ("traceparent" = Option<String>, Header,
            description = "W3C Trace Context; sent to the source and the destination."),
    ),
    request_body(description = "`application/json`: `{\"defaults\":{…},\"jobs\":[…]}`. \
                                `application/x-ndjson`: one job per line, with an optional first \
                                line `{\"defaults\":{…}}`.",
        content((BulkBody = "application/json"), (Submission = "application/x-ndjson"))),
    responses(
        (status = 202, description = "Durable: the host responds after the commit. If it could not \
                                      read the state then, the body has only `id` and \
                                      `links.jobs`.", body = ExecutionView,
            headers(("Location" = String), ("Operation-Location" = String), ("Retry-After" = u32,
                description = "Seconds."))),
        (status = 200, description = "Finished within `Prefer: wait`, or a repeated request whose \
                                      execution is finished.", body = ExecutionView),
        (status = 400, description = "Malformed or incomplete, or invalid items with \
                                      `handling=strict`."),
        (status = 409, description = "The host is still receiving the first request with this \
                                      Idempotency-Key, or a connection of the jobs was deleted \
                                      meanwhile."),
        (status = 413, description = "Too large, before or after decoding."),
        (status = 415, description = "Neither JSON nor NDJSON, or an unsupported content \
                                      encoding."),
        (status = 422, description = "The Idempotency-Key was already used with another body."),
        (status = 429,
            description = "Too many concurrent submissions of this API key.",
            headers(("Retry-After" = u32, description = "Seconds."))),
        (status = 503,
            description = "The backlog is full.",
            headers(("Retry-After" = u32, description = "Seconds."))),
    ),
)]
pub async fn submit_bulk(NoQuery(state, caller, _): NoQuery, request: Request) -> ApiResult {
    caller.require(Role::Submit)?;
    let (parts, body) = request.into_parts();
    let preferences = Preferences::of(&parts.headers);
    framing(&parts.headers)?;
    let head = head("bulk", &parts.headers, preferences)?;
    let (submitter, headers) = (caller.clone(), parts.headers);
    let receiving = receive_in_own_task(&state, submitter, head, headers, body, receive_many);
    let received = Box::pin(receiving).await?;
    Ok(answer(&state, &caller, received, preferences, Waits::Preferred).await)
}

/// When a response contains the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// If the work finishes in time. The request waits this long by default.
    Always { default_ms: u64 },
    /// Only with `Prefer: wait`.
    Preferred,
}

/// The body of a bulk request in JSON.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what the splitter reads")]
pub struct BulkBody {
    /// Fields of every job that does not have its own value. Must come first.
    defaults: Option<Submission>,
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
            "unsupported Content-Type `{other}`, expected application/json or application/x-ndjson"
        ))),
    }
}

/// Holds the permits of the submission until it is received, also if the client disconnects.
async fn receive_in_own_task<F, R>(
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
                "the limit of {} concurrent submissions of this API key is reached (bound \
                 `api.receive_per_key`)",
                state.settings.receive_per_key
            ),
            retry_after_s: 1,
        })?;
    let permit = Arc::clone(&state.submissions)
        .try_acquire_owned()
        .map_err(|_| {
            let most = state.settings.receive_concurrency;
            let detail = format!(
                "the limit of {most} concurrent submissions is reached (bound \
                 `api.receive_concurrency`)"
            );
            ApiError::busy("too_many_submissions", detail, 1)
        })?;
    let intake = Intake::new(state.clone(), caller, head)?;
    let receiving = receive(state.clone(), intake, headers, body);
    detached(async move {
        let _permits = (permit, callers_permit);
        receiving.await
    })
    .await
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
    let mut rest = None;
    while let Some(bytes) = reader.next().await? {
        splitter.feed(&bytes, &mut pieces)?;
        take(intake, &mut rest, &mut pieces).await?;
    }
    splitter.finish(&mut pieces)?;
    take(intake, &mut rest, &mut pieces).await?;
    if let Some(rest) = rest {
        rest.stage(intake).await?;
    }
    intake.finish(reader.finish()).await
}

async fn take(
    intake: &mut Intake,
    rest: &mut Option<Rest>,
    pieces: &mut Vec<Piece>,
) -> Result<(), ApiError> {
    for piece in pieces.drain(..) {
        if rest.is_none() && intake.would_be_ahead(&piece) {
            *rest = Some(Rest::after(intake)?);
        }
        match rest {
            Some(rest) => rest.piece(&piece).await?,
            None => intake.piece(&piece).await?,
        }
    }
    Ok(())
}

/// Waits as preferred and responds with the state of the execution. The execution is durable by
/// now, so an error here is not a refusal: the response then contains only the links.
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
    let at = location.clone();
    match with_state(state, caller, received, preferences, waits, at).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(
                %error,
                execution.id = %received.id,
                trace_id = trace::current(),
                "execution accepted, but its state could not be read"
            );
            let headers = [
                (header::LOCATION, location.clone()),
                (OPERATION_LOCATION, location),
                (header::RETRY_AFTER, HeaderValue::from(1)),
            ];
            let body = serde_json::json!({
                "id": received.id.to_string(),
                "links": {"jobs": format!("{path}/jobs")},
            });
            (StatusCode::ACCEPTED, headers, axum::Json(body)).into_response()
        }
    }
}

async fn with_state(
    state: &ApiState,
    caller: &Caller,
    received: Received,
    preferences: Preferences,
    waits: Waits,
    location: HeaderValue,
) -> ApiResult {
    let default_ms = match waits {
        Waits::Always { default_ms } => default_ms,
        Waits::Preferred => 0,
    };
    let asked_ms = preferences.wait_ms(default_ms, state.settings.max_wait_ms);
    let waiting = long_poll::permit(state, caller, asked_ms);
    let wait_ms = if waiting.is_some() { asked_ms } else { 0 };
    let status =
        long_poll::until(state, received.execution, wait_ms, execution_view::is_done).await?;
    drop(waiting);
    let status = status.ok_or_else(|| {
        let execution = received.execution;
        ApiError::Internal(format!("execution {execution} is missing after its seal"))
    })?;
    let done = execution_view::is_done(&status);
    // A repeated request gets the current state, even without waiting.
    let is_result = done && (waits != Waits::Preferred || wait_ms > 0 || received.replayed);
    let mut view = execution_view::view(state, &status);
    let total = view.counts.total;
    let most = state.settings.page_default;
    if is_result && total <= u64::from(most) {
        let (store, all) = (&state.store, JobFilter::default());
        let jobs = store.jobs(received.execution, &all, None, most).await?;
        view.jobs = Some(job_view::views(state, jobs).await?);
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, location.clone());
    if let Some(applied) = preferences.applied(wait_ms > 0) {
        headers.insert("preference-applied", applied);
    }
    if is_result {
        return Ok((StatusCode::OK, headers, axum::Json(view)).into_response());
    }
    headers.insert(OPERATION_LOCATION, location);
    if !done {
        let retry_after = execution_view::retry_after(state, &view);
        headers.insert(header::RETRY_AFTER, retry_after);
    }
    Ok((StatusCode::ACCEPTED, headers, axum::Json(view)).into_response())
}
