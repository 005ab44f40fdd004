//! The REST API: submission, tracking, acts and configuration over HTTP.
//!
//! The API publishes its own contract (`/v1/openapi.json`, browsable at `/docs`). Every error is a
//! problem document (RFC 9457), every bound has a name, and a 2xx on a submission means that the
//! jobs are durable. Scheduling is left to `dispatch`, documents to `documents`, and connectors to
//! `runtime`.

mod acts;
mod admin;
mod http;
mod intake;
mod listener;
mod middleware;
mod openapi;
mod settings;
mod state;
mod tracking;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use admin::{first_key, offline_key};
#[cfg(test)]
pub use intake::idempotency;
pub use listener::{ConnectionBounds, Routes, serve};
pub use settings::ApiSettings;
pub use state::{ApiState, HostParts};

use acts::verbs;
use admin::{apply, channels, connections, connectors, keys, sources, subscriptions};
use http::health;
use intake::submit;
use middleware::{catch_panic, concurrency, drain_body, fallback, http_metrics, trace};
use tracking::{executions, jobs, limits, objects};

/// The routes of the API and its documentation. `with_operations`: also health and metrics, which
/// can have their own address instead.
pub fn router(state: ApiState, with_operations: bool) -> Router {
    let (routes, _) = documented().split_for_parts();
    let docs: Router<ApiState> = SwaggerUi::new("/docs")
        .url("/v1/openapi.json", openapi(&state.settings))
        .into();
    // Health and metrics stay outside the limit over all callers, so that callers cannot block
    // them.
    let mut all = routes
        .merge(docs)
        .layer(from_fn_with_state(state.clone(), concurrency::layer));
    if with_operations {
        all = all.merge(operational().split_for_parts().0);
    }
    layered(all.fallback(fallback::not_found), state)
}

/// Only health and metrics, for their own address: none needs a key.
pub fn operations(state: ApiState) -> Router {
    layered(
        operational_without_key().fallback(fallback::not_found),
        state,
    )
}

/// The routes of a connection beyond the bounds. `with_operations`: health and metrics respond;
/// everything else gets 503.
pub fn beyond_bounds(state: ApiState, with_operations: bool) -> Router {
    let routes = if with_operations {
        operational().split_for_parts().0
    } else {
        Router::new()
    };
    layered(routes.fallback(fallback::too_many_connections), state)
}

/// The same for the address of health and metrics.
pub fn operations_beyond_bounds(state: ApiState) -> Router {
    layered(
        operational_without_key().fallback(fallback::too_many_connections),
        state,
    )
}

/// The description of the API (OpenAPI 3.1).
pub fn openapi(settings: &ApiSettings) -> utoipa::openapi::OpenApi {
    let routes = documented().merge(operational()).into_openapi();
    openapi::finished(routes, settings.page_limit)
}

fn documented() -> OpenApiRouter<ApiState> {
    let router = OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(submit::submit_job))
        .routes(routes!(submit::submit_bulk))
        .routes(routes!(executions::list_executions))
        .routes(routes!(executions::get_execution))
        .routes(routes!(jobs::list_jobs))
        .routes(routes!(jobs::get_job))
        .routes(routes!(jobs::list_events))
        .routes(routes!(objects::list_object_jobs))
        .routes(routes!(limits::list_limits))
        .routes(routes!(subscriptions::list))
        .routes(routes!(
            subscriptions::get,
            subscriptions::put,
            subscriptions::delete
        ))
        .routes(routes!(sources::list))
        .routes(routes!(sources::get, sources::put, sources::delete))
        .routes(routes!(channels::list))
        .routes(routes!(channels::get, channels::put, channels::delete))
        .routes(routes!(connections::list))
        .routes(routes!(
            connections::get,
            connections::put,
            connections::delete
        ))
        .routes(routes!(apply::apply_documents))
        .routes(routes!(
            connectors::list_connectors,
            connectors::install_connector
        ))
        .routes(routes!(connectors::get_connector))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::revoke_key));
    // One route takes all verbs of a resource; `openapi.rs` adds each verb to the description.
    router
        .route("/v1/executions/{id}", post(verbs::on_execution))
        .route("/v1/jobs/{id}", post(verbs::on_job))
        .route("/v1/limits/{key}", post(verbs::on_limit))
        .route("/v1/channels/{name}", post(verbs::on_channel))
        .route(
            "/v1/channels/{name}/connections/{subscription}",
            post(verbs::on_connection),
        )
        .route("/v1/connectors/{name}", post(verbs::on_connector))
}

fn health_checks() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
}

fn operational_without_key() -> Router<ApiState> {
    let (health, _) = health_checks().split_for_parts();
    health.route("/metrics", get(health::metrics_without_key))
}

fn operational() -> OpenApiRouter<ApiState> {
    health_checks().routes(routes!(health::metrics))
}

/// The layers around the routes, from the inside out.
fn layered(routes: Router<ApiState>, state: ApiState) -> Router {
    routes
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn(fallback::layer))
        .layer(CatchPanicLayer::custom(catch_panic::panicked))
        .layer(from_fn(drain_body::layer))
        .layer(from_fn(trace::layer))
        .layer(from_fn_with_state(state.clone(), http_metrics::layer))
        .with_state(state)
}
