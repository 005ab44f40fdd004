//! The router matches whole path segments, so one route per resource takes all of its verbs. This
//! is the table of them.

use axum::extract::{Request, State};
use axum::response::Response;

use super::{cancel, pause, pause_document, reopen_limit};
use crate::api::admin::{connection_check, connectors};
use crate::api::http::custom_verb::{self, Segments};
use crate::api::http::problem::ApiError;
use crate::api::http::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;

/// `POST /v1/executions/{id}:VERB`.
pub async fn on_execution(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (id, "cancel") => cancel::cancel_execution(state, caller, id).await,
        (id, "pause") => pause::pause_execution(state, caller, id).await,
        (id, "resume") => pause::resume_execution(state, caller, id).await,
        (_, other) => Err(custom_verb::unknown(
            other,
            "`:cancel`, `:pause` or `:resume`",
        )),
    }
}

/// `POST /v1/jobs/{id}:VERB`.
pub async fn on_job(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (id, "cancel") => cancel::cancel_job(state, caller, id).await,
        (_, other) => Err(custom_verb::unknown(other, "`:cancel`")),
    }
}

/// `POST /v1/channels/{name}:VERB`.
pub async fn on_channel(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (name, "pause") => pause_document::pause_channel(state, caller, name).await,
        (name, "resume") => pause_document::resume_channel(state, caller, name).await,
        (_, other) => Err(custom_verb::unknown(other, "`:pause` or `:resume`")),
    }
}

/// `POST /v1/channels/{name}/connections/{subscription}:VERB`.
pub async fn on_connection(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let (channel, segment) = segments.two();
    let (subscription, verb) = custom_verb::split(&segment)?;
    let ends = (channel, subscription.to_owned());
    match verb {
        "check" => connection_check::check_connection(state, caller, ends).await,
        "pause" => pause_document::pause_connection(state, caller, ends).await,
        "resume" => pause_document::resume_connection(state, caller, ends).await,
        other => Err(custom_verb::unknown(
            other,
            "`:check`, `:pause` or `:resume`",
        )),
    }
}

/// `POST /v1/limits/{key}:VERB`.
pub async fn on_limit(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (key, "reopen") => reopen_limit::reopen_limit(state, caller, key, request).await,
        (_, other) => Err(custom_verb::unknown(other, "`:reopen`")),
    }
}

/// `POST /v1/connectors/{name}:VERB`.
pub async fn on_connector(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (name, "activate") => connectors::activate_connector(state, caller, name, request).await,
        (_, other) => Err(custom_verb::unknown(other, "`:activate`")),
    }
}
