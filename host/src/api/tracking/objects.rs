//! The jobs of one object across channels and executions: why is this product not in the shop?

use axum::extract::State;
use egression_core::domain::ids::JobSeq;
use egression_core::domain::object::ObjectKey;

use super::find;
use super::job_view::{self, JobView};
use crate::api::http::cursor::List;
use crate::api::http::page::{self, Page};
use crate::api::http::problem::ApiResult;
use crate::api::http::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;

/// List the jobs of an object, newest first
#[utoipa::path(
    get, path = "/v1/objects", tag = "follow", operation_id = "listObjectJobs",
    params(
        ("type" = String, Query, description = "The object's type.", example = "product"),
        ("id" = String, Query, description = "The object's id in the source.", example = "4711"),
        ("subscription" = Option<String>, Query, description = "Only of this subscription."),
        ("limit" = Option<u32>, Query, description = "Items per page; 100 by default."),
        ("cursor" = Option<String>, Query, description = "The cursor from the previous page."),
    ),
    responses(
        (status = 200,
            description = "A page; empty if no job names the object.",
            body = Page<JobView>, headers(("Link" = String, description = "rel=next"))),
        (status = 404, description = "Unknown subscription."),
    ),
)]
pub async fn list_object_jobs(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    uri: http::Uri,
) -> ApiResult {
    let object = ObjectKey::new(query.need("type")?, query.need("id")?);
    let limit = query.limit()?;
    let before = query.cursor(List::Objects)?.map(JobSeq);
    let named = query.take("subscription")?;
    query.finish()?;
    let subscription = find::subscription(&state, &caller, named)?;
    let rows = state
        .store
        .object_jobs(subscription, &object, before, limit)
        .await?;
    let next = List::Objects.next(&rows, limit, |row| row.seq.0);
    let items = job_view::views(&state, rows).await?;
    Ok(page::answer(&uri, items, next))
}
