//! Connections over HTTP. Credentials are write-only. An admin key that is bound to a subscription
//! can change the connections of that subscription.

use axum::extract::{Request, State};
use axum::response::Response;
use egression_core::domain::ids::ConnectionId;
use http::{HeaderMap, Uri};

use super::channels::Channels;
use super::document_view::DocumentView;
use super::documents;
use super::resource::Resource as _;
use super::tenant_rights;
use crate::api::http::custom_verb::Segments;
use crate::api::http::page::Page;
use crate::api::http::problem::ApiError;
use crate::api::http::query::Query;
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::documents::configuration::Document;
use crate::documents::model::ConnectionDocument;
use crate::store::documents::{DocumentKind, DocumentName};

#[utoipa::path(
    get, path = "/v1/channels/{name}/connections/{subscription}", tag = "configure",
        operation_id = "getConnection",
    summary = "Get a connection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200,
            description = "The current document, with a marker for each secret.",
            body = DocumentView<ConnectionDocument>,
            headers(("ETag" = String))),
    ),
)]
pub async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let (name, _) = visible(&state, &caller, segments.two())?;
    documents::get(&state, &caller, &name, &headers).await
}

/// List the connections into a channel that the key sees
#[utoipa::path(
    get, path = "/v1/channels/{name}/connections", tag = "configure",
        operation_id = "listConnections",
    params(("name" = String, Path, description = "The channel.")),
    responses(
        (status = 200, description = "All of them.", body = Page<DocumentView<ConnectionDocument>>),
        (status = 404, description = "Unknown channel."),
    ),
)]
pub async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    uri: Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    let wanted = segments.one();
    let catalogue = state.configuration.catalogue();
    if !Channels::sees(&state, &caller, &wanted) {
        return Err(documents::missing(&DocumentName::Channel(wanted)));
    }
    documents::list(&state, &caller, DocumentKind::Connection, &uri, |stored| {
        let DocumentName::Connection {
            channel,
            subscription,
        } = &stored.name
        else {
            return false;
        };
        let subscription = catalogue.subscription(subscription);
        *channel == wanted && subscription.is_some_and(|found| caller.sees(found.id))
    })
    .await
}

/// Create or change a connection
///
/// A secret is sent as `{"value": "…"}`. The host encrypts it at once and never returns it.
#[utoipa::path(
    put, path = "/v1/channels/{name}/connections/{subscription}", tag = "configure",
        operation_id = "putConnection",
    params(
        ("name" = String, Path, description = "The channel."),
        ("subscription" = String, Path),
    ),
    request_body(content = ConnectionDocument, description = "`channel` and `subscription` are \
                                                              optional; the path gives them."),
    responses(
        (status = 200, description = "Changed.", body = DocumentView<ConnectionDocument>,
            headers(("ETag" = String))),
        (status = 201, description = "Created.", body = DocumentView<ConnectionDocument>,
            headers(("ETag" = String))),
        (status = 404, description = "Unknown channel or subscription."),
    ),
)]
pub async fn put(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require(Role::Admin)?;
    let (channel, subscription) = segments.two();
    let catalogue = state.configuration.catalogue();
    if !Channels::sees(&state, &caller, &channel) {
        return Err(documents::missing(&DocumentName::Channel(channel)));
    }
    let found = catalogue.subscription(&subscription);
    if !found.is_some_and(|found| caller.sees(found.id)) {
        let name = DocumentName::Subscription(subscription);
        return Err(documents::missing(&name));
    }
    let fixed = [
        ("channel", channel.clone()),
        ("subscription", subscription.clone()),
    ];
    let permit = |asked: &ConnectionDocument| {
        if caller.require_operator().is_ok() {
            return Ok(None);
        }
        // Read again: the operator may have revoked something while the body arrived.
        let catalogue = state.configuration.catalogue();
        let present = catalogue.connection(&subscription, &channel);
        tenant_rights::check(asked, present.map(|connection| &connection.document))?;
        Ok(Some(present.map_or(0, |connection| connection.version)))
    };
    documents::put(
        &state,
        &caller,
        request,
        &fixed,
        permit,
        Document::Connection,
    )
    .await
}

/// Delete a connection
#[utoipa::path(
    delete, path = "/v1/channels/{name}/connections/{subscription}", tag = "configure",
        operation_id = "deleteConnection",
    params(
        ("name" = String, Path, description = "The channel."),
        ("subscription" = String, Path),
        ("cancel_jobs" = Option<bool>, Query, description = "Also cancel its waiting jobs."),
    ),
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "Unknown connection."),
        (status = 409, description = "Unfinished jobs need it (with `cancel_jobs`, only jobs in \
                                      flight: repeat after `Retry-After`), or the configuration \
                                      file manages it."),
    ),
)]
pub async fn delete(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let cancel = query.flag("cancel_jobs")?;
    query.finish()?;
    caller.require(Role::Admin)?;
    let (name, id) = visible(&state, &caller, segments.two())?;
    let connections = cancel.then(|| vec![(id, name.clone())]);
    documents::delete(&state, &headers, name, connections).await
}

/// The name and id of a connection (channel, subscription) that exists and that the caller sees. A
/// bound key sees its own, unless the channel no longer lists its subscription.
pub fn visible(
    state: &ApiState,
    caller: &Caller,
    (channel, subscription): (String, String),
) -> Result<(DocumentName, ConnectionId), ApiError> {
    let catalogue = state.configuration.catalogue();
    let found = catalogue
        .connection(&subscription, &channel)
        .filter(|connection| {
            let listed = &connection.channel.subscriptions;
            caller.sees(connection.subscription.id)
                && (caller.subscription.is_none() || listed.contains(&subscription))
        })
        .map(|connection| connection.id);
    let name = DocumentName::Connection {
        channel,
        subscription,
    };
    match found {
        Some(id) => Ok((name, id)),
        None => Err(documents::missing(&name)),
    }
}
