//! `/livez` and `/readyz`, without a key, and `/metrics`. Metrics contain the names of all channels
//! and sources, so with the API they need a key that reads everything. The separate address
//! `operations_listen` serves them without one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::problem::ApiError;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;
use crate::store::documents::DocumentKind;

#[utoipa::path(get, path = "/livez", tag = "operate", operation_id = "livez",
    summary = "Check that the process is running", security(()), responses((status = 200,
        description = "The process is running.", body = String, content_type = "text/plain")))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Check that the host accepts work
///
/// The host has started, is not stopping, and its store reads and writes.
#[utoipa::path(
    get, path = "/readyz", tag = "operate", operation_id = "readyz", security(()),
    responses(
        (status = 200,
            description = "The host accepts work.", body = String, content_type = "text/plain"),
        (status = 503, description = "The host is starting or stopping (`not_ready`), or its disk \
                                      takes no writes (`degraded`); the detail has the reason. \
                                      The host recovers without a restart when the disk does."),
    ),
)]
pub async fn readyz(State(state): State<ApiState>) -> Result<&'static str, ApiError> {
    if !*state.ready.borrow() {
        return Err(ApiError::Busy {
            code: "not_ready",
            detail: "the host is starting or stopping".to_owned(),
            retry_after_s: 1,
        });
    }
    if !state.store.takes_writes() {
        return Err(ApiError::Busy {
            code: "not_ready",
            detail: "the store accepts no more writes".to_owned(),
            retry_after_s: 1,
        });
    }
    if let Some(reason) = state.store.write_failure() {
        return Err(ApiError::Busy {
            code: "degraded",
            detail: format!(
                "the store cannot write: {reason}; acknowledged jobs are safe, and the host \
                 resumes when the disk takes writes again"
            ),
            retry_after_s: 5,
        });
    }
    state.store.documents(DocumentKind::Subscription).await?;
    Ok("ok\n")
}

/// Get the metrics in the text format of Prometheus
///
/// Needs a key that is not bound to a subscription. At `operations_listen`, it needs none.
#[utoipa::path(get, path = "/metrics", tag = "operate", operation_id = "metrics",
    responses(
        (status = 200, description = "All metrics.", body = String, content_type = "text/plain"),
        (status = 403, description = "The key is bound to a subscription."),
    ),
)]
pub async fn metrics(State(state): State<ApiState>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_unbound()?;
    page(&state)
}

/// The same at the separate address.
pub async fn metrics_without_key(State(state): State<ApiState>) -> Result<Response, ApiError> {
    page(&state)
}

fn page(state: &ApiState) -> Result<Response, ApiError> {
    let page = state
        .metrics
        .as_ref()
        .ok_or_else(|| ApiError::NotFound("this host has no metrics".to_owned()))?;
    Ok((
        StatusCode::OK,
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        page.render(),
    )
        .into_response())
}
