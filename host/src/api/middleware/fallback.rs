//! Problem documents for requests that no handler answers: unknown paths, wrong methods, and errors
//! from below the handlers.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri, header};

use crate::api::http::problem::ApiError;

pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("no route for `{}`", uri.path()))
}

pub async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::MethodNotAllowed(method)
}

/// Adds a problem document to an error that came from below the handlers without one.
pub async fn layer(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
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
