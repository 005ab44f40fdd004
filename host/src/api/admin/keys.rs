//! API keys: creating, listing and revoking them. Only the response that creates a key contains its
//! text.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use egression_core::time::Wall;
use http::{StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::{NoContext, Timestamp, Uuid};

use crate::api::http::custom_verb::Segments;
use crate::api::http::page;
use crate::api::http::page::Page;
use crate::api::http::problem::{ApiError, FieldError};
use crate::api::http::query::Query;
use crate::api::intake::body;
use crate::api::middleware::auth::{self, Caller, Role};
use crate::api::state::ApiState;
use crate::store::api_keys::KeyRow;

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What the key allows.
    pub role: Role,
    /// The only subscription that the key sees; null: all.
    #[serde(default)]
    pub subscription: Option<String>,
    /// A label for people; at most 200 bytes.
    #[serde(default)]
    pub label: Option<String>,
}

/// A key without its text.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// The key's public id.
    #[schema(example = "key_019ab0c1d2e3f4")]
    pub id: String,
    /// What the key allows.
    pub role: String,
    /// The only subscription that the key sees; null: all.
    pub subscription: Option<String>,
    /// A label for people; at most 200 bytes.
    pub label: Option<String>,
    /// When it was created.
    pub created_at: String,
    /// The key itself; only in the response that creates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "egk_0123456789abcdef0123456789abcdef")]
    pub key: Option<String>,
}

/// Create a key
///
/// Only this response contains the text of the key.
#[utoipa::path(
    post, path = "/v1/keys", tag = "configure", operation_id = "createKey",
    request_body = KeyRequest,
    responses(
        (status = 201, description = "Created.", body = KeyView),
        (status = 400, description = "Malformed request, or unknown subscription."),
    ),
)]
pub async fn create_key(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    request: Request,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require(Role::Admin)?;
    let (parts, content) = request.into_parts();
    let wanted: KeyRequest = body::read_json(&state, &parts.headers, content).await?;
    let subscription = match &wanted.subscription {
        // A bound admin creates keys only for its own subscription.
        None => caller.subscription,
        Some(name) => match state
            .configuration
            .catalogue()
            .subscription(name)
            .map(|found| found.id)
        {
            Some(id) if caller.sees(id) => Some(id),
            _ => {
                return Err(unknown_subscription(name));
            }
        },
    };
    wanted.check()?;
    let key = auth::new_key()?;
    let row = new_row(state.clock.wall(), wanted.role, subscription, wanted.label);
    state.store.put_key(row.clone(), key.hash).await?;
    tracing::info!(
        key.id = row.id,
        role = row.role,
        actor = caller.key_id,
        "key created"
    );
    let view = KeyView {
        key: Some(key.text.expose_secret().to_owned()),
        ..view(&state, row)
    };
    Ok((
        StatusCode::CREATED,
        [(header::CACHE_CONTROL, "no-store")],
        axum::Json(view),
    )
        .into_response())
}

/// List the keys that are not revoked, without their texts
#[utoipa::path(
    get, path = "/v1/keys", tag = "configure", operation_id = "listKeys",
    responses((status = 200, description = "All of them.", body = Page<KeyView>)),
)]
pub async fn list_keys(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    uri: http::Uri,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require(Role::Admin)?;
    let rows = state.store.keys().await?;
    let visible = rows
        .into_iter()
        .filter(|row| caller.subscription.is_none() || row.subscription == caller.subscription);
    let items: Vec<KeyView> = visible.map(|row| view(&state, row)).collect();
    Ok(page::answer(&uri, items, None))
}

/// Revoke a key
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "configure", operation_id = "revokeKey",
    params(("id" = String, Path, description = "`key_…`")),
    responses(
        (status = 204, description = "Revoked."),
        (status = 404, description = "Unknown key."),
        (status = 409, description = "The key is the one of this request."),
    ),
)]
pub async fn revoke_key(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query,
    segments: Segments,
) -> Result<Response, ApiError> {
    query.finish()?;
    caller.require(Role::Admin)?;
    let id = segments.one();
    if id == caller.key_id {
        return Err(ApiError::Conflict {
            code: "own_key",
            detail: "a key cannot revoke itself; use another admin key".to_owned(),
        });
    }
    let now = state.clock.wall();
    let revoked = state
        .store
        .revoke_key(&id, caller.subscription, now)
        .await?;
    if !revoked {
        return Err(ApiError::not_found("key", id));
    }
    tracing::info!(key.id = id, actor = caller.key_id, "key revoked");
    Ok(StatusCode::NO_CONTENT.into_response())
}

impl KeyRequest {
    /// Errors: the label is too long.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.label.as_ref().is_some_and(|label| label.len() > 200) {
            return Err(ApiError::invalid(vec![FieldError::new(
                "/label",
                "invalid_value",
                "expected at most 200 bytes",
            )]));
        }
        Ok(())
    }
}

pub fn unknown_subscription(name: &str) -> ApiError {
    ApiError::invalid(vec![FieldError::new(
        "/subscription",
        "unknown_subscription",
        format!("unknown subscription `{name}`"),
    )])
}

/// A new key's row. Its public id sorts by time of creation.
pub fn new_row(
    now: Wall,
    role: Role,
    subscription: Option<egression_core::domain::ids::SubscriptionId>,
    label: Option<String>,
) -> KeyRow {
    let ms = u64::try_from(now.0).unwrap_or(0);
    let nanos = u32::try_from(ms % 1000).unwrap_or(0) * 1_000_000;
    let id = format!(
        "key_{}",
        Uuid::new_v7(Timestamp::from_unix(NoContext, ms / 1000, nanos)).simple()
    );
    KeyRow {
        id,
        role: role.into_str().to_owned(),
        subscription,
        label,
        created_at: now,
    }
}

fn view(state: &ApiState, row: KeyRow) -> KeyView {
    let catalogue = state.configuration.catalogue();
    KeyView {
        subscription: row
            .subscription
            .and_then(|id| catalogue.subscription_by_id(id))
            .map(|found| found.name.clone()),
        id: row.id,
        role: row.role,
        label: row.label,
        created_at: row.created_at.to_rfc3339(),
        key: None,
    }
}
