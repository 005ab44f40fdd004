//! The REST API: submission, tracking, acting and configuring over HTTP, one resource a file.
//!
//! Promises the contract that it publishes itself (`/v1/openapi.json`, browsable at `/docs`): every
//! error is a problem document (RFC 9457), every bound has a name, and a 2xx on a submission means
//! durable. Decisions about work that was accepted are left to the dispatcher, documents to
//! `config`, connectors to the runtime.

pub mod http;
pub mod settings;
pub mod state;

mod admin;
mod intake;
mod middleware;
mod openapi;
mod tracking;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::post;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

pub use admin::apply::{AppliedDocument, AppliedView};
pub use admin::connectors::{ConnectorVersion, ConnectorView};
pub use admin::documents::DocumentStatus;
pub use admin::first_key;
pub use http::page::Page;
pub use http::problem::{ApiError, FieldError, ProblemDocument};
#[cfg(test)]
pub use intake::idempotency;
pub use intake::submission::ObjectReference;
pub use settings::ApiSettings;
pub use state::{ApiState, ConnectorError, Connectors, Doors, Scheduling, WaitingGroup};
pub use tracking::execution_view::{
    BeltView, ChannelProgress, Counts, ErrorGroupView, ExecutionView, Status, WaitingView,
};
pub use tracking::job_view::{EventView, JobProblem, JobView, JobWaiting, RemoteView};

use admin::{apply, channels, connections, connectors, keys, sources, subscriptions};
use http::health;
use intake::submit;
use middleware::{
    catch_panic, concurrency, drain_body, fallback, http_metrics, trace,
};
use tracking::{executions, jobs, objects};

/// The API with its documentation. `with_operations`: health and metrics as well, where they have
/// no address of their own.
pub fn router(state: ApiState, with_operations: bool) -> Router {
    let (routes, _) = documented().split_for_parts();
    let docs: Router<ApiState> = SwaggerUi::new("/docs")
        .url("/v1/openapi.json", openapi())
        .into();
    // Health and metrics are never refused for what callers do; they stay outside of the bound.
    let mut all = routes
        .merge(docs)
        .layer(from_fn_with_state(state.clone(), concurrency::layer));
    if with_operations {
        all = all.merge(operational().split_for_parts().0);
    }
    dressed(all, state)
}

/// Health and metrics alone, for an address of their own.
pub fn operations(state: ApiState) -> Router {
    dressed(operational().split_for_parts().0, state)
}

/// The API's own description (OpenAPI 3.1).
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::finished(documented().merge(operational()).into_openapi())
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
        .routes(routes!(subscriptions::list_subscriptions))
        .routes(routes!(
            subscriptions::get_subscription,
            subscriptions::put_subscription,
            subscriptions::delete_subscription
        ))
        .routes(routes!(sources::list_sources))
        .routes(routes!(
            sources::get_source,
            sources::put_source,
            sources::delete_source
        ))
        .routes(routes!(channels::list_channels))
        .routes(routes!(
            channels::get_channel,
            channels::put_channel,
            channels::delete_channel
        ))
        .routes(routes!(connections::list_connections))
        .routes(routes!(
            connections::get_connection,
            connections::put_connection,
            connections::delete_connection
        ))
        .routes(routes!(apply::apply_documents))
        .routes(routes!(
            connectors::list_connectors,
            connectors::install_connector
        ))
        .routes(routes!(connectors::get_connector))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::revoke_key));
    // Verbs share their segment with the name: one route takes all verbs of a resource, and
    // `openapi.rs` documents each.
    router
        .route("/v1/executions/{id}", post(executions::act))
        .route("/v1/jobs/{id}", post(jobs::act))
        .route("/v1/channels/{name}", post(channels::act))
        .route(
            "/v1/channels/{name}/connections/{subscription}",
            post(connections::act),
        )
        .route("/v1/connectors/{name}", post(connectors::act))
}

fn operational() -> OpenApiRouter<ApiState> {
    OpenApiRouter::default()
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

/// Everything around the routes, from the inside out.
fn dressed(routes: Router<ApiState>, state: ApiState) -> Router {
    routes
        .fallback(fallback::not_found)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(from_fn(fallback::layer))
        .layer(CatchPanicLayer::custom(catch_panic::panicked))
        .layer(from_fn(drain_body::layer))
        .layer(from_fn(trace::layer))
        .layer(from_fn_with_state(state.clone(), http_metrics::layer))
        .with_state(state)
}
