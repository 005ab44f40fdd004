//! Connections over HTTP, with pause, resume and check. Credentials are write-only. An admin key
//! that is bound to a subscription may change its own connections.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::api::middleware::auth::{Caller, Role};
use super::channels;
use super::connection_check;
use super::documents::{self, DocumentView};
use crate::api::http::page::Page;
use crate::api::http::query::Query;
use crate::api::http::problem::{ApiError, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::http::custom_verb::{self, Segments};
use crate::documents::catalogue::ConnectionState;
use crate::documents::configuration::Document;
use crate::documents::credential::places_of_hosts;
use crate::documents::model::ConnectionDocument;
use crate::documents::secret::SecretRef;
use crate::store::documents::{DocumentKind, DocumentName};

#[utoipa::path(
    get, path = "/v1/channels/{name}/connections/{subscription}", tag = "configure", operation_id = "getConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200, description = "As it stands. A marker stands for each secret.", body = DocumentView<ConnectionDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn get_connection(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = visible(&state, &caller, segments.two())?;
    documents::get(&state, &name, &headers).await
}

/// The connections into a channel that the key sees.
#[utoipa::path(
    get, path = "/v1/channels/{name}/connections", tag = "configure", operation_id = "listConnections",
    params(("name" = String, Path, description = "The channel.")),
    responses(
        (status = 200, description = "All of them.", body = Page<DocumentView<ConnectionDocument>>),
        (status = 404, description = "The channel is not known, or the key does not see it.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn list_connections(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    uri: Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    let wanted = segments.one();
    let catalogue = state.configuration.catalogue();
    if !channels::sees(&state, &caller, &wanted) {
        return Err(documents::missing(&DocumentName::Channel(wanted)));
    }
    let keep = |name: &DocumentName| match name {
        DocumentName::Connection {
            channel,
            subscription,
        } => {
            *channel == wanted
                && catalogue
                    .subscription(subscription)
                    .is_some_and(|found| caller.sees(found.id))
        }
        _ => false,
    };
    documents::list(&state, DocumentKind::Connection, &uri, |stored| {
        keep(&stored.name)
    })
    .await
}

/// Make or change a connection. Secrets are given as `{"value": "…"}`, encrypted at once, and never
/// given back.
#[utoipa::path(
    put, path = "/v1/channels/{name}/connections/{subscription}", tag = "configure", operation_id = "putConnection",
    params(
        ("name" = String, Path, description = "The channel."),
        ("subscription" = String, Path),
    ),
    request_body(content = ConnectionDocument, description = "`channel` and `subscription` may be left out: the path gives them."),
    responses(
        (status = 200, description = "Changed.", body = DocumentView<ConnectionDocument>, headers(("ETag" = String))),
        (status = 201, description = "Made.", body = DocumentView<ConnectionDocument>, headers(("ETag" = String))),
        (status = 404, description = "The channel or the subscription is not known.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn put_connection(
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
    if catalogue.channel(&channel).is_none() {
        return Err(documents::missing(&DocumentName::Channel(channel)));
    }
    if !catalogue
        .subscription(&subscription)
        .is_some_and(|found| caller.sees(found.id))
    {
        return Err(documents::missing(&DocumentName::Subscription(
            subscription,
        )));
    }
    let (parts, content) = request.into_parts();
    let fixed = [
        ("channel", channel.as_str()),
        ("subscription", subscription.as_str()),
    ];
    let permit = |asked: &ConnectionDocument| {
        if caller.require_operator().is_ok() {
            return Ok(None);
        }
        // As it stands now: while the body came, the operator may have taken back what it repeats.
        let catalogue = state.configuration.catalogue();
        let present = catalogue.connection(&subscription, &channel);
        permit_tenant(asked, present.map(|connection| &connection.document))?;
        Ok(Some(present.map_or(0, |connection| connection.version)))
    };
    documents::put_permitted(
        &state,
        &parts.headers,
        content,
        &fixed,
        permit,
        Document::Connection,
    )
    .await
}

/// What a key that is bound to one subscription may not write: references to the host's own
/// environment and files, and hosts and addresses beyond those that the operator granted.
fn permit_tenant(
    asked: &ConnectionDocument,
    present: Option<&ConnectionDocument>,
) -> Result<(), ApiError> {
    let reads_host = |secret: &SecretRef| matches!(secret, SecretRef::Env(_) | SecretRef::File(_));
    if asked.auth.as_ref().is_some_and(|auth| {
        auth.secrets()
            .iter()
            .any(|named| reads_host(named.reference))
    }) {
        return Err(ApiError::Forbidden(
            "secrets from the host's environment or files are the operator's to name; give the value".to_owned(),
        ));
    }
    let (hosts, addresses) = present
        .map(|p| (p.allow_hosts.clone(), p.allow_addresses.clone()))
        .unwrap_or_default();
    if asked.allow_hosts != hosts || asked.allow_addresses != addresses {
        return Err(ApiError::Forbidden(
            "`allow_hosts` and `allow_addresses` are the operator's to change".to_owned(),
        ));
    }
    // What the operator opened was opened for the hosts that were there then: an address that is
    // not public has more than one service.
    let moved = present
        .filter(|_| !addresses.is_empty() || !hosts.is_empty())
        .and_then(|present| moved(asked, present));
    match moved {
        None => Ok(()),
        Some(place) => Err(ApiError::Forbidden(format!(
            "{place}: leads to another host, and with `allow_hosts` or `allow_addresses` the hosts of a connection are the operator's to change"
        ))),
    }
}

/// The place of a document that leads to another host than it did, if there is one.
fn moved(asked: &ConnectionDocument, present: &ConnectionDocument) -> Option<String> {
    let (asked, present) = (places_of_hosts(asked), places_of_hosts(present));
    asked
        .into_iter()
        .find(|(place, origin)| present.get(place) != Some(origin))
        .map(|(place, _)| place)
}

#[utoipa::path(
    delete, path = "/v1/channels/{name}/connections/{subscription}", tag = "configure", operation_id = "deleteConnection",
    params(
        ("name" = String, Path, description = "The channel."),
        ("subscription" = String, Path),
        ("cancel_jobs" = Option<bool>, Query, description = "Cancels its waiting jobs."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Unfinished jobs need it (with `cancel_jobs` only those in flight: ask again after `Retry-After`), or the configuration file looks after it.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_connection(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let cancel = query.flag("cancel_jobs")?;
    query.finish()?;
    caller.require(Role::Admin)?;
    let (channel, subscription) = segments.two();
    let name = visible(&state, &caller, (channel.clone(), subscription.clone()))?;
    let own = state
        .configuration
        .catalogue()
        .connection(&subscription, &channel)
        .map(|connection| connection.id);
    let connections = cancel.then(|| own.map(|id| (id, name.clone())).into_iter().collect());
    documents::delete(&state, &headers, name, connections).await
}

/// Pause a connection: its waiting jobs keep their places and wait.
#[utoipa::path(
    post, path = "/v1/channels/{name}/connections/{subscription}:pause", tag = "act", operation_id = "pauseConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200, description = "Paused.", body = DocumentView<ConnectionDocument>),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn pause_connection(
    state: ApiState,
    caller: Caller,
    channel: String,
    subscription: &str,
) -> Result<Response, ApiError> {
    set_state(
        state,
        caller,
        (channel, subscription.to_owned()),
        ConnectionState::Paused { reason: None },
    )
    .await
}

/// Resume a connection that is paused or parked.
#[utoipa::path(
    post, path = "/v1/channels/{name}/connections/{subscription}:resume", tag = "act", operation_id = "resumeConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200, description = "Goes on.", body = DocumentView<ConnectionDocument>),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn resume_connection(
    state: ApiState,
    caller: Caller,
    channel: String,
    subscription: &str,
) -> Result<Response, ApiError> {
    set_state(
        state,
        caller,
        (channel, subscription.to_owned()),
        ConnectionState::Active,
    )
    .await
}

/// `POST /v1/channels/{name}/connections/{subscription}:VERB`.
pub async fn act(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    let (channel, segment) = segments.two();
    match custom_verb::split(&segment)? {
        (subscription, "pause") => pause_connection(state, caller, channel, subscription).await,
        (subscription, "resume") => resume_connection(state, caller, channel, subscription).await,
        (subscription, "check") => {
            connection_check::check_connection(state, caller, channel, subscription).await
        }
        (_, other) => Err(custom_verb::unknown(other, "`:check`, `:pause` or `:resume`")),
    }
}

async fn set_state(
    state: ApiState,
    caller: Caller,
    ends: (String, String),
    next: ConnectionState,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let (channel, subscription) = ends.clone();
    let name = visible(&state, &caller, ends)?;
    let id = state
        .configuration
        .catalogue()
        .connection(&subscription, &channel)
        .map(|found| found.id)
        .ok_or_else(|| documents::missing(&name))?;
    let configuration = state.configuration.clone();
    // In a task of its own: what is stored must be published, even if the client leaves.
    let task = tokio::spawn(async move { configuration.set_connection_state(id, &next).await });
    task.await
        .map_err(|error| ApiError::Internal(error.to_string()))??;
    documents::get(&state, &name, &HeaderMap::new()).await
}

/// The name of a connection (channel, subscription) that is there and the caller's to see.
pub fn visible(
    state: &ApiState,
    caller: &Caller,
    (channel, subscription): (String, String),
) -> Result<DocumentName, ApiError> {
    let catalogue = state.configuration.catalogue();
    let found = catalogue
        .connection(&subscription, &channel)
        .is_some_and(|connection| caller.sees(connection.subscription.id));
    let name = DocumentName::Connection {
        channel,
        subscription,
    };
    if found {
        Ok(name)
    } else {
        Err(documents::missing(&name))
    }
}
