//! The connector's `check`: whether a connection works now. It passes the gate and the limits like
//! every call.

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::connections::visible;
use super::documents;
use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::{Caller, Role};
use crate::api::state::ApiState;
use crate::api::tracking::job_view::JobProblem;
use crate::delivery::Probe;
use crate::store::StoreError;

/// The result of a check.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionCheck {
    /// The destination answers and accepts the credential and the settings.
    pub works: bool,
    /// The account that the credential belongs to, if the connector reports it.
    #[schema(example = "Northwind GmbH")]
    pub account: Option<String>,
    /// The credential's permissions, if the connector reports them.
    pub scopes: Vec<String>,
    /// Why the connection does not work, or warnings about one that works.
    pub problems: Vec<JobProblem>,
}

impl From<Probe> for ConnectionCheck {
    fn from(probe: Probe) -> Self {
        match probe {
            Probe::Works(findings) => Self {
                works: true,
                account: findings.account,
                scopes: findings.scopes,
                problems: findings.remarks.into_iter().map(JobProblem::from).collect(),
            },
            Probe::Fails(problem) | Probe::Refused(problem) => Self {
                works: false,
                account: None,
                scopes: Vec::new(),
                problems: vec![problem.into()],
            },
        }
    }
}

/// Check a connection
///
/// Logs in if necessary and sends a harmless request to the destination. The check counts against
/// the limits. A parked connection, and one with an open circuit, resumes if the check succeeds; a
/// pause remains.
#[utoipa::path(
    post, path = "/v1/channels/{name}/connections/{subscription}:check", tag = "act",
        operation_id = "checkConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200,
            description = "The result, also if the connection does not work.",
            body = ConnectionCheck),
        (status = 404, description = "Unknown connection."),
        (status = 503, description = "The host is stopping."),
    ),
)]
pub async fn check_connection(
    state: ApiState,
    caller: Caller,
    ends: (String, String),
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let (name, id) = visible(&state, &caller, ends)?;
    // The request keeps its permits meanwhile, so checks are bounded like requests.
    let found = state.dispatcher.check(id).await;
    let found = found.ok_or_else(|| {
        if *state.ready.borrow() {
            documents::missing(&name)
        } else {
            StoreError::Closed.into()
        }
    })?;
    Ok(axum::Json(ConnectionCheck::from(found)).into_response())
}
