//! Pausing and resuming channels and connections.

use http::HeaderMap;

use crate::api::admin::connections::visible;
use crate::api::admin::document_view::DocumentView;
use crate::api::admin::documents;
use crate::api::http::detached::detached;
use crate::api::http::problem::ApiResult;
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::documents::catalogue::ConnectionState;
use crate::documents::model::{ChannelDocument, ConnectionDocument};
use crate::store::documents::DocumentName;

/// Pause a channel
///
/// The waiting jobs of all its connections keep their places in the queue.
#[utoipa::path(
    post, path = "/v1/channels/{name}:pause", tag = "act", operation_id = "pauseChannel",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "Paused.", body = DocumentView<ChannelDocument>),
        (status = 404, description = "Unknown channel."),
    ),
)]
pub async fn pause_channel(state: ApiState, caller: Caller, name: &str) -> ApiResult {
    set_paused(state, caller, name, true).await
}

/// Resume a channel
#[utoipa::path(
    post, path = "/v1/channels/{name}:resume", tag = "act", operation_id = "resumeChannel",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "Resumed.", body = DocumentView<ChannelDocument>),
        (status = 404, description = "Unknown channel."),
    ),
)]
pub async fn resume_channel(state: ApiState, caller: Caller, name: &str) -> ApiResult {
    set_paused(state, caller, name, false).await
}

async fn set_paused(state: ApiState, caller: Caller, name: &str, paused: bool) -> ApiResult {
    caller.require_operator()?;
    let document = DocumentName::Channel(name.to_owned());
    let (configuration, channel) = (state.configuration.clone(), name.to_owned());
    if !detached(async move { configuration.pause_channel(&channel, paused).await }).await? {
        return Err(documents::missing(&document));
    }
    documents::get(&state, &caller, &document, &HeaderMap::new()).await
}

/// Pause a connection
///
/// Its waiting jobs keep their places in the queue.
#[utoipa::path(
    post, path = "/v1/channels/{name}/connections/{subscription}:pause", tag = "act",
        operation_id = "pauseConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200, description = "Paused.", body = DocumentView<ConnectionDocument>),
        (status = 404, description = "Unknown connection."),
    ),
)]
pub async fn pause_connection(
    state: ApiState,
    caller: Caller,
    ends: (String, String),
) -> ApiResult {
    let paused = ConnectionState::Paused { reason: None };
    set_state(state, caller, ends, paused).await
}

/// Resume a paused or parked connection
#[utoipa::path(
    post, path = "/v1/channels/{name}/connections/{subscription}:resume", tag = "act",
        operation_id = "resumeConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200, description = "Resumed.", body = DocumentView<ConnectionDocument>),
        (status = 404, description = "Unknown connection."),
    ),
)]
pub async fn resume_connection(
    state: ApiState,
    caller: Caller,
    ends: (String, String),
) -> ApiResult {
    set_state(state, caller, ends, ConnectionState::Active).await
}

async fn set_state(
    state: ApiState,
    caller: Caller,
    ends: (String, String),
    next: ConnectionState,
) -> ApiResult {
    caller.require(Role::Admin)?;
    let (name, id) = visible(&state, &caller, ends)?;
    let configuration = state.configuration.clone();
    detached(async move { configuration.set_connection_state(id, &next).await }).await?;
    documents::get(&state, &caller, &name, &HeaderMap::new()).await
}
