//! A document as the API shows it: its own fields and `status`. Secrets are never shown; a marker
//! replaces each.

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::http::etag;
use crate::api::http::problem::ApiError;
use crate::api::middleware::auth::Caller;
use crate::documents::audience::Audience;
use crate::documents::catalogue::{Catalogue, Connection, ConnectionState, Subscription};
use crate::gate::Usage;
use crate::store::documents::{DocumentName, ManagedBy, StoredDocument};

/// The state of a document.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DocumentStatus {
    /// Counts changes; `If-Match` compares it. The `ETag` also changes with `paused` and `state`.
    pub version: i64,
    /// `file` or `api`. The API cannot change a document that the configuration file manages.
    #[schema(example = "api")]
    pub managed_by: String,
    /// Channels only: a person paused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Connections only: active, paused or parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "active")]
    pub state: Option<String>,
    /// Why the connection is not active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only for a single connection: requests made, compared with the requests that its limits
    /// would have admitted while it had work, since the host started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_used: Option<Usage>,
}

/// A document with its state.
#[derive(Debug, Serialize, ToSchema)]
pub struct DocumentView<T> {
    #[serde(flatten)]
    pub document: T,
    pub status: DocumentStatus,
}

/// A document as the caller sees it: a bound key sees no other subscription in `subscriptions`.
pub fn view(
    catalogue: &Catalogue,
    caller: &Caller,
    stored: &StoredDocument,
) -> Result<Value, ApiError> {
    let mut document: Map<String, Value> = serde_json::from_str(&stored.json)
        .map_err(|error| ApiError::Internal(format!("{:?}: {error}", stored.name)))?;
    if let (Some(own), Some(listed)) = (caller.subscription, document.get_mut("subscriptions")) {
        *listed = seen_by(catalogue.subscription_by_id(own), listed)?;
    }
    let connection = in_force(catalogue, stored);
    let managed_by = match stored.managed_by {
        ManagedBy::File => "file",
        ManagedBy::Api => "api",
    };
    let status = DocumentStatus {
        version: stored.version,
        managed_by: managed_by.to_owned(),
        paused: matches!(stored.name, DocumentName::Channel(_)).then_some(stored.paused),
        state: connection.map(|c| c.state.as_str().to_owned()),
        reason: connection.and_then(|c| c.state.reason().map(str::to_owned)),
        limit_used: None,
    };
    let status =
        serde_json::to_value(status).map_err(|error| ApiError::Internal(error.to_string()))?;
    document.insert("status".to_owned(), status);
    Ok(Value::Object(document))
}

fn seen_by(own: Option<&Arc<Subscription>>, listed: &Value) -> Result<Value, ApiError> {
    let internal = |error: serde_json::Error| ApiError::Internal(error.to_string());
    let listed = Audience::deserialize(listed).map_err(internal)?;
    let seen = own.map_or_else(Audience::missing, |own| listed.seen_by(&own.name));
    serde_json::to_value(seen).map_err(internal)
}

/// The connection whose document this is. Its state in force can differ from the stored one.
fn in_force<'a>(catalogue: &'a Catalogue, stored: &StoredDocument) -> Option<&'a Arc<Connection>> {
    match stored.name {
        DocumentName::Connection { .. } => catalogue.connection_by_id(ConnectionId(stored.id)),
        _ => None,
    }
}

/// The entity tag of a document and its state.
pub fn tag(catalogue: &Catalogue, stored: &StoredDocument) -> HeaderValue {
    let state = match in_force(catalogue, stored).map(|connection| &connection.state) {
        None if stored.paused => "paused".to_owned(),
        None | Some(ConnectionState::Active) => String::new(),
        Some(state) => format!("{} {}", state.as_str(), state.reason().unwrap_or_default()),
    };
    etag::of_document(stored.version, &state)
}
