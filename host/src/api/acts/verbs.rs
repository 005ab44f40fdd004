//! The router matches whole path segments, so one route per resource takes all of its verbs. This
//! is the table of them.

use axum::extract::Request;

use super::{cancel, pause, pause_document, reopen_limit};
use crate::api::admin::{connection_check, connectors};
use crate::api::http::custom_verb::{self, unknown};
use crate::api::http::no_query::NoQuery;
use crate::api::http::problem::ApiResult;

/// `POST /v1/executions/{id}:VERB`.
pub async fn on_execution(NoQuery(state, caller, segments): NoQuery) -> ApiResult {
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (id, "cancel") => cancel::cancel_execution(state, caller, id).await,
        (id, "pause") => pause::pause_execution(state, caller, id).await,
        (id, "resume") => pause::resume_execution(state, caller, id).await,
        (_, other) => Err(unknown(other, "`:cancel`, `:pause` or `:resume`")),
    }
}

/// `POST /v1/jobs/{id}:VERB`.
pub async fn on_job(NoQuery(state, caller, segments): NoQuery) -> ApiResult {
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (id, "cancel") => cancel::cancel_job(state, caller, id).await,
        (_, other) => Err(unknown(other, "`:cancel`")),
    }
}

/// `POST /v1/channels/{name}:VERB`.
pub async fn on_channel(NoQuery(state, caller, segments): NoQuery) -> ApiResult {
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (name, "pause") => pause_document::pause_channel(state, caller, name).await,
        (name, "resume") => pause_document::resume_channel(state, caller, name).await,
        (_, other) => Err(unknown(other, "`:pause` or `:resume`")),
    }
}

/// `POST /v1/channels/{name}/connections/{subscription}:VERB`.
pub async fn on_connection(NoQuery(state, caller, segments): NoQuery) -> ApiResult {
    let (channel, segment) = segments.two();
    let (subscription, verb) = custom_verb::split(&segment)?;
    let ends = (channel, subscription.to_owned());
    match verb {
        "check" => connection_check::check_connection(state, caller, ends).await,
        "pause" => pause_document::pause_connection(state, caller, ends).await,
        "resume" => pause_document::resume_connection(state, caller, ends).await,
        other => Err(unknown(other, "`:check`, `:pause` or `:resume`")),
    }
}

/// `POST /v1/limits/{key}:VERB`.
pub async fn on_limit(NoQuery(state, caller, segments): NoQuery, request: Request) -> ApiResult {
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (key, "reopen") => reopen_limit::reopen_limit(state, caller, key, request).await,
        (_, other) => Err(unknown(other, "`:reopen`")),
    }
}

/// `POST /v1/connectors/{name}:VERB`.
pub async fn on_connector(
    NoQuery(state, caller, segments): NoQuery,
    request: Request,
) -> ApiResult {
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (name, "activate") => connectors::activate_connector(state, caller, name, request).await,
        (_, other) => Err(unknown(other, "`:activate`")),
    }
}
