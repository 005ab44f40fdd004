//! Whether a connection works, asked now: the connector's `check`, through the gate and the limits
//! like everything else.

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::middleware::auth::{Caller, Role};
use super::connections::visible;
use super::documents;
use crate::api::tracking::job_view::JobProblem;
use crate::api::http::problem::{ApiError, ProblemDocument};
use crate::api::state::{ApiState, Probe};
use crate::store::StoreError;

/// What a check found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectionCheck {
    /// The destination answers, and takes the credential and the settings.
    pub works: bool,
    /// Whose account it is, as the connector tells.
    #[schema(example = "Northwind GmbH")]
    pub account: Option<String>,
    /// What the credential may do, as the connector tells.
    pub scopes: Vec<String>,
    /// Why it does not work, or what is worth knowing although it does.
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

/// Check a connection: log in if it must, and ask the destination, which is not changed by it. It
/// counts against the limits. A connection that is parked, or whose circuit is open, goes on if it
/// works; a pause stays.
#[utoipa::path(
    post, path = "/v1/channels/{name}/connections/{subscription}:check", tag = "act", operation_id = "checkConnection",
    params(("name" = String, Path, description = "The channel."), ("subscription" = String, Path)),
    responses(
        (status = 200, description = "What was found, also where it does not work.", body = ConnectionCheck),
        (status = 404, description = "Not known, or another tenant's.", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "The host is stopping.", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
pub async fn check_connection(
    state: ApiState,
    caller: Caller,
    channel: String,
    subscription: &str,
) -> Result<Response, ApiError> {
    caller.require(Role::Admin)?;
    let name = visible(&state, &caller, (channel.clone(), subscription.to_owned()))?;
    let id = state
        .configuration
        .catalogue()
        .connection(subscription, &channel)
        .map(|found| found.id);
    let id = id.ok_or_else(|| documents::missing(&name))?;
    // It keeps its places while it lasts: a check is a call, and nobody makes more of them at once
    // than requests.
    let found = state.scheduling.check(id).await;
    let found = found.ok_or_else(|| {
        if *state.ready.borrow() {
            documents::missing(&name)
        } else {
            StoreError::Closed.into()
        }
    })?;
    Ok(axum::Json(ConnectionCheck::from(found)).into_response())
}
