//! The optional body of an act, and its preview.

use axum::extract::Request;
use egression_core::scheduler::HeldJobs;
use http_body::Body as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::http::problem::{ApiError, FieldError};
use crate::api::intake::body;
use crate::api::state::ApiState;

/// The most jobs that a preview names.
pub const MAX_PREVIEWED: usize = 100;
const MAX_REASON_BYTES: usize = 1000;

/// How to act.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ActRequest {
    /// Change nothing, and answer what would happen.
    pub dry_run: bool,
    /// Why, for the record; at most 1,000 bytes.
    pub reason: Option<String>,
}

impl ActRequest {
    /// Reads the body, if there is one.
    pub async fn read(state: &ApiState, request: Request) -> Result<Self, ApiError> {
        let (parts, content) = request.into_parts();
        if content.is_end_stream() {
            return Ok(Self::default());
        }
        let read: Self = body::read_json(state, &parts.headers, content).await?;
        if read
            .reason
            .as_ref()
            .is_some_and(|reason| reason.len() > MAX_REASON_BYTES)
        {
            let detail = format!("expected at most {MAX_REASON_BYTES} bytes");
            let error = FieldError::new("/reason", "invalid_value", detail);
            return Err(ApiError::invalid(vec![error]));
        }
        Ok(read)
    }
}

/// What an act would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ActPreview {
    /// How many jobs would run.
    pub jobs: u64,
    /// How many of those that are next may already be at the destination from an earlier attempt.
    pub may_be_written_twice: u64,
    /// The first 100 jobs, in their order.
    pub order: Vec<String>,
}

impl ActPreview {
    pub async fn of(state: &ApiState, held: &HeldJobs) -> Result<Self, ApiError> {
        let mut order = Vec::with_capacity(held.first.len());
        for job in &held.first {
            // A job that ended meanwhile is left out.
            order.extend(state.store.job_id(*job).await?.map(|id| id.to_string()));
        }
        Ok(Self {
            jobs: held.jobs,
            may_be_written_twice: held.pinned,
            order,
        })
    }
}
