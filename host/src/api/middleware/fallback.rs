//! Problem documents for requests that no handler answers: unknown paths, wrong methods, and errors
//! from below the handlers.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use crate::api::http::problem::ApiError;

pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("no route for `{}`", uri.path()))
}

/// For connections beyond the bounds.
pub async fn too_many_connections() -> ApiError {
    ApiError::Busy {
        code: "too_many_connections",
        detail: "the host, or the client's address, has too many open connections (bounds \
                 `api.max_connections` and `api.max_connections_per_address`)"
            .to_owned(),
        retry_after_s: 1,
    }
}

pub async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::MethodNotAllowed(method)
}

/// Adds a problem document to an error that came from below the handlers without one, and corrects
/// `Allow`.
pub async fn layer(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(route) = route.filter(|route| route.as_str().ends_with('}'))
    {
        correct_allow(route.as_str(), &path, response.headers_mut());
    }
    let status = response.status();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/problem+json"));
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return response;
    }
    match status {
        StatusCode::NOT_FOUND => {
            ApiError::NotFound(format!("no route for `{path}`")).into_response()
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::TooLarge("the request is too large".to_owned()).into_response()
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ApiError::UnsupportedType("the media type is not supported here".to_owned())
                .into_response()
        }
        _ if status.is_client_error() => ApiError::invalid(Vec::new()).into_response(),
        _ => ApiError::Internal(format!("status {status} without a problem")).into_response(),
    }
}

/// A resource and its custom verbs share a route. The verbs take POST, the resource everything else
/// (RFC 9110, 10.2.1).
fn correct_allow(route: &str, path: &str, headers: &mut HeaderMap) {
    let is_verb = path
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    let is_document = ["/v1/subscriptions/", "/v1/sources/", "/v1/channels/"]
        .iter()
        .any(|prefix| route.starts_with(prefix));
    let methods = match (is_verb, is_document) {
        (true, _) => "POST",
        (false, true) => "GET,HEAD,PUT,DELETE",
        (false, false) if route.starts_with("/v1/keys/") => "DELETE",
        (false, false) => "GET,HEAD",
    };
    headers.insert(header::ALLOW, HeaderValue::from_static(methods));
}
