//! The start of a request whose query has no parameters.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::custom_verb::Segments;
use super::problem::ApiError;
use super::query::Query;
use crate::api::middleware::auth::Caller;
use crate::api::state::ApiState;

/// The host, the caller, and the parameters of the path. Refuses every query parameter.
pub struct NoQuery(pub ApiState, pub Caller, pub Segments);

impl FromRequestParts<ApiState> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let segments = Segments::from_request_parts(parts, state).await?;
        Query::from_request_parts(parts, state).await?.finish()?;
        Ok(Self(state.clone(), caller, segments))
    }
}
