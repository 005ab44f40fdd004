//! Channels over HTTP, with pause and resume. A bound key sees those that it has a connection into;
//! only an operator changes them.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::api::middleware::auth::Caller;
use super::documents::{self, DocumentView};
use crate::api::http::page::Page;
use crate::api::http::query::Query;
use crate::api::http::problem::{ApiError, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::http::custom_verb::{self, Segments};
use crate::documents::configuration::Document;
use crate::documents::model::ChannelDocument;
use crate::store::documents::{DocumentKind, DocumentName};

#[utoipa::path(
    get, path = "/v1/channels/{name}", tag = "configure", operation_id = "getChannel",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "As it stands.", body = DocumentView<ChannelDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn get_channel(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = segments.one();
    let visible = sees(&state, &caller, &name);
    let name = DocumentName::Channel(name);
    if !visible {
        return Err(documents::missing(&name));
    }
    documents::get(&state, &name, &headers).await
}

/// All channels that the key sees.
#[utoipa::path(
    get, path = "/v1/channels", tag = "configure", operation_id = "listChannels",
    responses((status = 200, description = "All of them, by name.", body = Page<DocumentView<ChannelDocument>>)),
)]
pub async fn list_channels(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    uri: Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    documents::list(
        &state,
        DocumentKind::Channel,
        &uri,
        |stored| matches!(&stored.name, DocumentName::Channel(name) if sees(&state, &caller, name)),
    )
    .await
}

/// Make or change a channel.
#[utoipa::path(
    put, path = "/v1/channels/{name}", tag = "configure", operation_id = "putChannel",
    params(
        ("name" = String, Path),
    ),
    request_body(content = ChannelDocument, description = "`name` may be left out: the path gives it."),
    responses(
        (status = 200, description = "Changed.", body = DocumentView<ChannelDocument>, headers(("ETag" = String))),
        (status = 201, description = "Made.", body = DocumentView<ChannelDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn put_channel(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require_operator()?;
    let (parts, content) = request.into_parts();
    documents::put::<ChannelDocument>(
        &state,
        &parts.headers,
        content,
        &[("name", &segments.one())],
        Document::Channel,
    )
    .await
}

#[utoipa::path(
    delete, path = "/v1/channels/{name}", tag = "configure", operation_id = "deleteChannel",
    params(
        ("name" = String, Path),
        ("cancel_jobs" = Option<bool>, Query, description = "Cancels its waiting jobs and removes its connections."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Unfinished jobs or connections need it, or the configuration file looks after it.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_channel(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let cancel = query.flag("cancel_jobs")?;
    query.finish()?;
    caller.require_operator()?;
    let name = segments.one();
    let catalogue = state.configuration.catalogue();
    let connections = catalogue.connections_of_channel(&name).map(|connection| {
        (
            connection.id,
            DocumentName::Connection {
                channel: name.clone(),
                subscription: connection.subscription.name.clone(),
            },
        )
    });
    let connections = cancel.then(|| connections.collect());
    documents::delete(&state, &headers, DocumentName::Channel(name), connections).await
}

/// Pause a channel: the waiting jobs of all its connections keep their places and wait.
#[utoipa::path(
    post, path = "/v1/channels/{name}:pause", tag = "act", operation_id = "pauseChannel",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "Paused.", body = DocumentView<ChannelDocument>),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn pause_channel(
    state: ApiState,
    caller: Caller,
    name: &str,
) -> Result<Response, ApiError> {
    set_paused(state, caller, name, true).await
}

#[utoipa::path(
    post, path = "/v1/channels/{name}:resume", tag = "act", operation_id = "resumeChannel",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "Goes on.", body = DocumentView<ChannelDocument>),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn resume_channel(
    state: ApiState,
    caller: Caller,
    name: &str,
) -> Result<Response, ApiError> {
    set_paused(state, caller, name, false).await
}

/// `POST /v1/channels/{name}:VERB`.
pub async fn act(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let segment = segments.one();
    match custom_verb::split(&segment)? {
        (name, "pause") => pause_channel(state, caller, name).await,
        (name, "resume") => resume_channel(state, caller, name).await,
        (_, other) => Err(custom_verb::unknown(other, "`:pause` or `:resume`")),
    }
}

async fn set_paused(
    state: ApiState,
    caller: Caller,
    name: &str,
    paused: bool,
) -> Result<Response, ApiError> {
    caller.require_operator()?;
    let document = DocumentName::Channel(name.to_owned());
    let (configuration, channel) = (state.configuration.clone(), name.to_owned());
    // In a task of its own: what is stored must be published, even if the client leaves.
    let task = tokio::spawn(async move { configuration.pause_channel(&channel, paused).await });
    if !task
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))??
    {
        return Err(documents::missing(&document));
    }
    documents::get(&state, &document, &HeaderMap::new()).await
}

/// An unbound key sees every channel, a bound one those that it has a connection into.
pub fn sees(state: &ApiState, caller: &Caller, channel: &str) -> bool {
    let catalogue = state.configuration.catalogue();
    match caller.subscription {
        None => catalogue.channel(channel).is_some(),
        Some(own) => catalogue
            .connections_of_channel(channel)
            .any(|connection| connection.subscription.id == own),
    }
}
