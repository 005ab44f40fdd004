//! A document as the API shows it: its own fields and `status`. Secrets are never shown; a marker
//! replaces each.

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::http::etag;
use crate::api::http::problem::ApiError;
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

pub fn view(stored: &StoredDocument) -> Result<Value, ApiError> {
    let mut document: Map<String, Value> = serde_json::from_str(&stored.json)
        .map_err(|error| ApiError::Internal(format!("{:?}: {error}", stored.name)))?;
    let is_connection = matches!(stored.name, DocumentName::Connection { .. });
    let managed_by = match stored.managed_by {
        ManagedBy::File => "file",
        ManagedBy::Api => "api",
    };
    let status = DocumentStatus {
        version: stored.version,
        managed_by: managed_by.to_owned(),
        paused: matches!(stored.name, DocumentName::Channel(_)).then_some(stored.paused),
        state: is_connection.then(|| stored.state.clone()),
        reason: stored.state_reason.clone().filter(|_| is_connection),
        limit_used: None,
    };
    let status =
        serde_json::to_value(status).map_err(|error| ApiError::Internal(error.to_string()))?;
    document.insert("status".to_owned(), status);
    Ok(Value::Object(document))
}

/// The entity tag of a document and its state.
pub fn tag(stored: &StoredDocument) -> HeaderValue {
    let state = match stored.name {
        DocumentName::Channel(_) if stored.paused => "paused".to_owned(),
        DocumentName::Connection { .. } if stored.state != "active" => {
            let reason = stored.state_reason.as_deref().unwrap_or_default();
            format!("{} {reason}", stored.state)
        }
        _ => String::new(),
    };
    etag::of_document(stored.version, &state)
}
