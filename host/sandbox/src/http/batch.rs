//! Several objects of one type in one call: `POST /v1/{type}/batch`.
//!
//! The shop accepts or refuses a batch as a whole. In an accepted batch, each item succeeds or
//! fails on its own.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    catalogue::{Action, Answer, Attempt},
    object::{ObjectKey, ObjectType},
    refusal::{ErrorBody, Refusal},
    scenario::Scenario,
    state::ShopState,
};

use super::{
    arrival_layer::{Admitted, Served},
    perform::perform,
};

/// The last path segment of a batch call. For `POST` only; other methods take it as an object id.
const BATCH: &str = "batch";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    items: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchItem {
    id: String,
    action: Action,
    version: Option<String>,
    idempotency_key: Option<String>,
    body: Option<Value>,
}

#[derive(Serialize)]
struct BatchAnswer<'a> {
    results: Vec<ItemResult<'a>>,
}

#[derive(Serialize)]
struct ItemResult<'a> {
    id: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody<'a>>,
}

/// `POST`: accepts the items or refuses the batch.
pub(crate) async fn post(
    State(state): State<Arc<ShopState>>,
    Extension(call): Extension<Admitted>,
    Path((object_type, name)): Path<(String, String)>,
    bytes: Bytes,
) -> Response {
    if name != BATCH {
        return Refusal::MethodUnknown.into_response();
    }
    let attempts = match read(&object_type, &bytes, &call.scenario) {
        Ok(attempts) => attempts,
        Err(refusal) => return refusal.into_response(),
    };
    let mut served = Served {
        items: attempts.len() as u64,
        dropped: false,
    };
    let mut response = if call.faults.batch_refusal && !call.faults.error_5xx {
        let reason = "scripted by the scenario".to_owned();
        Refusal::BatchRefused { reason }.into_response()
    } else {
        match perform(&state, &call, &attempts).await {
            Ok(performed) => {
                served.dropped = performed.dropped;
                respond(&attempts, &performed.answers)
            }
            Err(refusal) => refusal.into_response(),
        }
    };
    response.extensions_mut().insert(served);
    response
}

fn read(object_type: &str, bytes: &Bytes, scenario: &Scenario) -> Result<Vec<Attempt>, Refusal> {
    let object_type =
        ObjectType::parse(object_type).ok_or_else(|| Refusal::type_unknown(object_type))?;
    if bytes.len() as u64 > scenario.max_body_bytes {
        return Err(Refusal::BatchRefused {
            reason: format!(
                "{} bytes exceed {} (`max_body_bytes` in the scenario)",
                bytes.len(),
                scenario.max_body_bytes
            ),
        });
    }
    let request: BatchRequest = serde_json::from_slice(bytes)
        .map_err(|error| Refusal::body_invalid("", error.to_string()))?;
    if request.items.len() > scenario.max_batch {
        return Err(Refusal::BatchRefused {
            reason: format!(
                "{} items exceed {} (`max_batch` in the scenario)",
                request.items.len(),
                scenario.max_batch
            ),
        });
    }
    let items = request.items.into_iter();
    Ok(items.map(|item| read_item(object_type, item)).collect())
}

fn read_item(object_type: ObjectType, item: Value) -> Attempt {
    let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
    let target = ObjectKey::new(object_type, id);
    match serde_json::from_value::<BatchItem>(item) {
        Ok(item) if item.id.is_empty() => {
            Attempt::unreadable(target, Refusal::body_invalid("", "the item has no id"))
        }
        Ok(item) => Attempt::read(
            target,
            item.action,
            item.version.as_deref(),
            item.idempotency_key,
            item.body,
        ),
        Err(error) => {
            let message = format!("invalid item: {error}");
            Attempt::unreadable(target, Refusal::body_invalid("", message))
        }
    }
}

fn respond(attempts: &[Attempt], answers: &[Answer]) -> Response {
    let results = attempts
        .iter()
        .zip(answers)
        .map(|(attempt, answer)| {
            let id = &*attempt.target.id;
            match &answer.outcome {
                Ok(success) => ItemResult {
                    id,
                    status: success.status().as_u16(),
                    version: success.version().map(|version| version.to_string()),
                    changed: Some(success.changed()),
                    error: None,
                },
                Err(refusal) => ItemResult {
                    id,
                    status: refusal.status().as_u16(),
                    version: None,
                    changed: None,
                    error: Some(refusal.to_error()),
                },
            }
        })
        .collect();
    Json(BatchAnswer { results }).into_response()
}
