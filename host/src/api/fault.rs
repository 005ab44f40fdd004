//! What no handler answers — unknown paths, wrong methods, panics, too many requests — as problems
//! like all others.

use std::any::Any;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri, header};

use super::problem::ApiError;
use super::share::Serving;
use super::state::ApiState;

pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::NotFound(format!("there is nothing under `{}`", uri.path()))
}

/// The path is there, the method is not.
pub async fn method_not_allowed(method: Method) -> ApiError {
    ApiError::MethodNotAllowed(method)
}

/// A handler panicked: a bug of ours, logged with its text, which is not given out.
#[must_use]
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::Internal(format!("panicked: {}", text.unwrap_or("without a text"))).into_response()
}

/// Serves at most `request_concurrency` requests at once. One that only waits is not counted: it
/// gives its place up. The answer says what is left of the caller's quota.
pub async fn bound_concurrency(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(permit) = Arc::clone(&state.requests).try_acquire_owned() else {
        let detail = format!(
            "{} requests are being served (bound `api.request_concurrency`)",
            state.settings.request_concurrency
        );
        return ApiError::Busy {
            code: "too_many_requests",
            detail,
            retry_after_s: 1,
        }
        .into_response();
    };
    let serving = Serving::new(permit);
    request.extensions_mut().insert(serving.clone());
    // Given up here at the latest, and when the client leaves.
    let end = EndOfServing(serving);
    let mut response = next.run(request).await;
    if let Some(standing) = end.0.standing() {
        standing.write(response.headers_mut());
    }
    response
}

/// Gives up a request's places when it is dropped.
struct EndOfServing(Serving);

impl Drop for EndOfServing {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The last resort: an error that came from below the handlers without a problem document gets one.
pub async fn dress(request: Request, next: Next) -> Response {
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
            ApiError::NotFound(format!("there is nothing under `{path}`")).into_response()
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::TooLarge("the request is too large".to_owned()).into_response()
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ApiError::UnsupportedType("the media type is not supported here".to_owned())
                .into_response()
        }
        _ if status.is_client_error() => ApiError::invalid(Vec::new()).into_response(),
        _ => ApiError::Internal(format!("answered {status} without a problem")).into_response(),
    }
}
