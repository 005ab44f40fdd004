//! Sources over HTTP. They are the operator's: a key that is bound to one subscription sees none.

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
use crate::documents::model::SourceDocument;
use crate::store::documents::{DocumentKind, DocumentName};

#[utoipa::path(
    get, path = "/v1/sources/{name}", tag = "configure", operation_id = "getSource",
    params(("name" = String, Path)),
    responses(
        (status = 200, description = "As it stands.", body = DocumentView<SourceDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn get_source(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    let name = DocumentName::Source(segments.one());
    if caller.subscription.is_some() {
        return Err(documents::missing(&name));
    }
    documents::get(&state, &name, &headers).await
}

/// All sources that the key sees.
#[utoipa::path(
    get, path = "/v1/sources", tag = "configure", operation_id = "listSources",
    responses((status = 200, description = "All of them, by name.", body = Page<DocumentView<SourceDocument>>)),
)]
pub async fn list_sources(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    uri: Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    documents::list(&state, DocumentKind::Source, &uri, |_| {
        caller.subscription.is_none()
    })
    .await
}

/// Make or change a source.
#[utoipa::path(
    put, path = "/v1/sources/{name}", tag = "configure", operation_id = "putSource",
    params(
        ("name" = String, Path),
    ),
    request_body(content = SourceDocument, description = "`name` may be left out: the path gives it."),
    responses(
        (status = 200, description = "Changed.", body = DocumentView<SourceDocument>, headers(("ETag" = String))),
        (status = 201, description = "Made.", body = DocumentView<SourceDocument>, headers(("ETag" = String))),
    ),
)]
pub async fn put_source(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require_operator()?;
    let (parts, content) = request.into_parts();
    documents::put::<SourceDocument>(
        &state,
        &parts.headers,
        content,
        &[("name", &segments.one())],
        Document::Source,
    )
    .await
}

#[utoipa::path(
    delete, path = "/v1/sources/{name}", tag = "configure", operation_id = "deleteSource",
    params(
        ("name" = String, Path),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "Not known.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Unfinished jobs need it, or the configuration file looks after it.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn delete_source(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require_operator()?;
    documents::delete(&state, &headers, DocumentName::Source(segments.one()), None).await
}
