//! Subscriptions over HTTP. A bound key sees its own; only an operator changes them.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::api::middleware::auth::Caller;
use super::documents::{self, DocumentView};
use crate::api::http::page::Page;
use crate::api::http::query::Query;
use crate::api::http::problem::{ApiError, ProblemDocument};
use crate::api::state::ApiState;
use crate::api::http::custom_verb::Segments;
use crate::documents::configuration::Document;
use crate::documents::model::SubscriptionDocument;
use crate::store::documents::{DocumentKind, DocumentName};

#[utoipa::path(
    get, path = "/v1/subscriptions/{name}", tag = "configure", operation_id = "getSubscription",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "As it stands.", body = DocumentView<SubscriptionDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn get_subscription(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = segments.one();
    let visible = state
        .configuration
        .catalogue()
        .subscription(&name)
        .is_some_and(|found| caller.sees(found.id));
    let name = DocumentName::Subscription(name);
    if !visible {
        return Err(documents::missing(&name));
    }
    documents::get(&state, &name, &headers).await
}

/// All subscriptions that the key sees.
#[utoipa::path(
    get, path = "/v1/subscriptions", tag = "configure", operation_id = "listSubscriptions",
    responses((status = 200, description = "All of them, by name.", body = Page<DocumentView<SubscriptionDocument>>)),
)]
pub async fn list_subscriptions(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    uri: Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    documents::list(&state, DocumentKind::Subscription, &uri, |stored| {
        caller.subscription.is_none_or(|own| own.0 == stored.id)
    })
    .await
}

/// Make or change a subscription.
#[utoipa::path(
    put, path = "/v1/subscriptions/{name}", tag = "configure", operation_id = "putSubscription",
    params(
        ("name" = String, Path),
    ),
    request_body(content = SubscriptionDocument, description = "`name` may be left out: the path gives it."),
    responses(
        (status = 200, description = "Changed.", body = DocumentView<SubscriptionDocument>, headers(("ETag" = String))),
        (status = 201, description = "Made.", body = DocumentView<SubscriptionDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn put_subscription(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require_operator()?;
    let (parts, content) = request.into_parts();
    documents::put::<SubscriptionDocument>(
        &state,
        &parts.headers,
        content,
        &[("name", &segments.one())],
        Document::Subscription,
    )
    .await
}

#[utoipa::path(
    delete, path = "/v1/subscriptions/{name}", tag = "configure", operation_id = "deleteSubscription",
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
pub async fn delete_subscription(
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
    let own = catalogue
        .connections()
        .filter(|connection| connection.subscription.name == name);
    let connections = own.map(|connection| {
        (
            connection.id,
            DocumentName::Connection {
                channel: connection.channel.name.clone(),
                subscription: name.clone(),
            },
        )
    });
    let connections = cancel.then(|| connections.collect());
    documents::delete(
        &state,
        &headers,
        DocumentName::Subscription(name),
        connections,
    )
    .await
}
