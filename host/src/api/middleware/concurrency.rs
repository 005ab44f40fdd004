//! The limit on requests that the host serves at once.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::serving::Serving;
use crate::api::http::problem::ApiError;
use crate::api::state::ApiState;

/// Serves at most `request_concurrency` requests at once. A request that only waits does not count,
/// because it releases its permit. The response states the caller's remaining quota.
pub async fn layer(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    let Ok(permit) = Arc::clone(&state.requests).try_acquire_owned() else {
        let detail = format!(
            "the limit of {} concurrent requests is reached (bound `api.request_concurrency`)",
            state.settings.request_concurrency
        );
        return ApiError::busy("too_many_requests", detail, 1).into_response();
    };
    let serving = Serving::new(permit);
    request.extensions_mut().insert(serving.clone());
    // Also runs when the client disconnects.
    let guard = ReleaseOnDrop(serving);
    let mut response = next.run(request).await;
    if let Some(quota) = guard.0.quota() {
        quota.write(response.headers_mut());
    }
    response
}

struct ReleaseOnDrop(Serving);

impl Drop for ReleaseOnDrop {
    fn drop(&mut self) {
        self.0.release();
    }
}
