//! One object's jobs across channels and executions: 'why is this product not in the shop?'

use axum::extract::State;
use axum::response::Response;
use egression_core::domain::ids::JobSeq;
use egression_core::domain::object::ObjectKey;

use crate::api::middleware::auth::Caller;
use crate::api::http::cursor::{self, List};
use super::job_view::{self, JobView};
use crate::api::http::page::{self, Page};
use crate::api::http::query::Query;
use crate::api::http::problem::{ApiError, ProblemDocument};
use crate::api::state::ApiState;

/// Every job of one object, newest first.
#[utoipa::path(
    get, path = "/v1/objects", tag = "follow", operation_id = "listObjectJobs",
    params(
        ("type" = String, Query, description = "The object's type.", example = "product"),
        ("id" = String, Query, description = "Its id in the source.", example = "4711"),
        ("subscription" = Option<String>, Query, description = "Of one subscription."),
        ("limit" = Option<u32>, Query, description = "Items of a page; 100 if not given."),
        ("cursor" = Option<String>, Query, description = "Where the last page ended."),
    ),
    responses(
        (status = 200, description = "A page; empty for an object that no job names.", body = Page<JobView>, headers(("Link" = String, description = "rel=next"))),
        (status = 404, description = "The subscription is not known.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn list_object_jobs(
    State(state): State<ApiState>,
    caller: Caller,
    mut query: Query,
    uri: http::Uri,
) -> Result<Response, ApiError> {
    let object = ObjectKey::new(query.need("type")?, query.need("id")?);
    let limit = query.limit()?;
    let before = query
        .take("cursor")?
        .map(|text| cursor::read(List::Objects, &text))
        .transpose()?
        .map(JobSeq);
    let named = query.take("subscription")?;
    query.finish()?;
    let subscription = match named {
        None => caller.subscription,
        Some(name) => match state
            .configuration
            .catalogue()
            .subscription(&name)
            .map(|found| found.id)
        {
            Some(id) if caller.sees(id) => Some(id),
            _ => return Err(ApiError::not_found("subscription", name)),
        },
    };
    let rows = state
        .store
        .object_jobs(subscription, &object, before, limit)
        .await?;
    let next = rows
        .last()
        .filter(|_| rows.len() == limit as usize)
        .map(|row| cursor::write(List::Objects, row.seq.0));
    Ok(page::answer(
        &uri,
        job_view::views(&state, rows).await?,
        next,
    ))
}
