//! Counts and times every response by its route's template. It is the outermost layer, so it sees
//! every request.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::api::state::ApiState;
use crate::telemetry::metrics;

/// Measures one request until its response begins.
pub async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let began = state.clock.mono();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics::http_answered(
        &method,
        route,
        response.status().as_u16(),
        state.clock.mono().since_us(began),
    );
    response
}
