//! Subscriptions, sources and channels as REST resources. Each states who sees and who changes it;
//! the operations are the same for all. Only an operator creates and deletes them.

use axum::extract::Request;
use axum::response::Response;
use egression_core::domain::ids::ConnectionId;
use http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;

use super::documents;
use crate::api::http::custom_verb::Segments;
use crate::api::http::problem::ApiError;
use crate::api::http::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::documents::catalogue::Connection;
use crate::documents::configuration::Document;
use crate::store::documents::{DocumentKind, DocumentName};

pub trait Resource {
    type Document: DeserializeOwned;
    const KIND: DocumentKind;
    const NAME: fn(String) -> DocumentName;
    const WRAP: fn(Self::Document) -> Document;
    /// Which connections `DELETE` with `cancel_jobs` removes as well. `None`: it does not take
    /// `cancel_jobs`.
    const OWNS: Option<fn(&Connection, &str) -> bool>;

    fn sees(state: &ApiState, caller: &Caller, name: &str) -> bool;

    /// Refuses a caller who may not change the document, before the body is read.
    fn require_writer(_: &ApiState, caller: &Caller, _: &str) -> Result<(), ApiError> {
        caller.require_operator()
    }

    /// Refuses a change that the caller may not make. Returns the version that it was compared
    /// with.
    fn permit(_: &ApiState, _: &Caller, _: &Self::Document) -> Result<Option<i64>, ApiError> {
        Ok(None)
    }
}

pub async fn get<R: Resource>(
    state: ApiState,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = segments.one();
    let visible = R::sees(&state, &caller, &name);
    let name = R::NAME(name);
    if !visible {
        return Err(documents::missing(&name));
    }
    documents::get(&state, &caller, &name, &headers).await
}

pub async fn list<R: Resource>(
    state: ApiState,
    caller: Caller,
    query: Query,
    uri: Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    documents::list(&state, &caller, R::KIND, &uri, |stored| {
        match &stored.name {
            DocumentName::Subscription(name)
            | DocumentName::Source(name)
            | DocumentName::Channel(name) => R::sees(&state, &caller, name),
            DocumentName::Connection { .. } => false,
        }
    })
    .await
}

pub async fn put<R: Resource>(
    state: ApiState,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = segments.one();
    R::require_writer(&state, &caller, &name)?;
    let permit = |asked: &R::Document| R::permit(&state, &caller, asked);
    documents::put(&state, &caller, request, &[("name", name)], permit, R::WRAP).await
}

pub async fn delete<R: Resource>(
    state: ApiState,
    caller: Caller,
    mut query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let owns = match R::OWNS {
        Some(owns) if query.flag("cancel_jobs")? => Some(owns),
        _ => None,
    };
    query.finish()?;
    caller.require_operator()?;
    let name = segments.one();
    let catalogue = state.configuration.catalogue();
    let connections: Option<Vec<(ConnectionId, DocumentName)>> = owns.map(|owns| {
        let owned = catalogue.connections().filter(|c| owns(c, &name));
        owned
            .map(|connection| {
                let name = DocumentName::Connection {
                    channel: connection.channel.name.clone(),
                    subscription: connection.subscription.name.clone(),
                };
                (connection.id, name)
            })
            .collect()
    });
    documents::delete(&state, &headers, R::NAME(name), connections).await
}

/// The annotated handlers of a [`Resource`].
macro_rules! endpoints {
    (
        $Resource:ident, $Document:ident,
        $title:tt, $word:tt, $list:tt, $item:tt,
        $delete_params:tt, $conflict:tt
    ) => {
        #[utoipa::path(
            get, path = $item, tag = "configure", operation_id = concat!("get", $title),
            summary = concat!("Get a ", $word),
            params(("name" = String, Path)),
            responses(
                (status = 200, description = "The current document.",
                    body = DocumentView<$Document>, headers(("ETag" = String))),
            ),
        )]
        pub async fn get(
            State(state): State<ApiState>,
            caller: Caller,
            query: Query,
            segments: Segments,
            headers: HeaderMap,
        ) -> Result<Response, ApiError> {
            resource::get::<$Resource>(state, caller, query, segments, headers).await
        }

        #[utoipa::path(
            get, path = $list, tag = "configure", operation_id = concat!("list", $title, "s"),
            summary = concat!("List the ", $word, "s that the key sees"),
            responses((status = 200, description = "All of them, by \
                                                    name.", body = Page<DocumentView<$Document>>)),
        )]
        pub async fn list(
            State(state): State<ApiState>,
            caller: Caller,
            query: Query,
            uri: Uri,
        ) -> Result<Response, ApiError> {
            resource::list::<$Resource>(state, caller, query, uri).await
        }

        #[utoipa::path(
            put, path = $item, tag = "configure", operation_id = concat!("put", $title),
            summary = concat!("Create or change a ", $word),
            params(("name" = String, Path)),
            request_body(content = $Document, description = "`name` is optional; the path gives \
                                                             it."),
            responses(
                (status = 200, description = "Changed.", body = DocumentView<$Document>,
                    headers(("ETag" = String))),
                (status = 201, description = "Created.", body = DocumentView<$Document>,
                    headers(("ETag" = String))),
            ),
        )]
        pub async fn put(
            State(state): State<ApiState>,
            caller: Caller,
            query: Query,
            segments: Segments,
            request: Request,
        ) -> Result<Response, ApiError> {
            resource::put::<$Resource>(state, caller, query, segments, request).await
        }

        #[utoipa::path(
            delete, path = $item, tag = "configure", operation_id = concat!("delete", $title),
            summary = concat!("Delete a ", $word),
            params $delete_params,
            responses(
                (status = 204, description = "Deleted."),
                (status = 404, description = "Unknown name."),
                (status = 409, description = $conflict),
            ),
        )]
        pub async fn delete(
            State(state): State<ApiState>,
            caller: Caller,
            query: Query,
            segments: Segments,
            headers: HeaderMap,
        ) -> Result<Response, ApiError> {
            resource::delete::<$Resource>(state, caller, query, segments, headers).await
        }
    };
}

pub(super) use endpoints;
