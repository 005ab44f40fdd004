//! One object in one call: `PUT`, `DELETE` and `GET /v1/{type}/{id}`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{ETAG, IF_MATCH, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    catalogue::{Action, Answer, Attempt},
    object::{ObjectKey, ObjectType},
    refusal::Refusal,
    state::ShopState,
};

use super::{
    arrival_layer::{Admitted, Served},
    perform::perform,
};

/// `PUT`: creates or replaces the object, under the preconditions of the headers.
pub(crate) async fn put(
    State(state): State<Arc<ShopState>>,
    Extension(call): Extension<Admitted>,
    Path((object_type, id)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let target = match target(&object_type, &id) {
        Ok(target) => target,
        Err(refusal) => return refusal.into_response(),
    };
    let (action, version) = match conditions(&headers) {
        Ok(conditions) => conditions,
        Err(refusal) => return refusal.into_response(),
    };
    let key = idempotency_key(&headers);
    let attempt = match read_body(&bytes, call.scenario.max_body_bytes) {
        Ok(body) => Attempt::read(target, action, version.as_deref(), key, Some(body)),
        Err(refusal) => Attempt::unreadable(target, refusal),
    };
    write(&state, &call, attempt).await
}

/// `DELETE`: deletes the object, under the preconditions of the headers.
pub(crate) async fn delete(
    State(state): State<Arc<ShopState>>,
    Extension(call): Extension<Admitted>,
    Path((object_type, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let target = match target(&object_type, &id) {
        Ok(target) => target,
        Err(refusal) => return refusal.into_response(),
    };
    let version = match conditions(&headers) {
        Ok((_, version)) => version,
        Err(refusal) => return refusal.into_response(),
    };
    let key = idempotency_key(&headers);
    let attempt = Attempt::read(target, Action::Delete, version.as_deref(), key, None);
    write(&state, &call, attempt).await
}

/// `GET`: the object with its version.
pub(crate) async fn get(
    State(state): State<Arc<ShopState>>,
    Extension(call): Extension<Admitted>,
    Path((object_type, id)): Path<(String, String)>,
) -> Response {
    let target = match target(&object_type, &id) {
        Ok(target) => target,
        Err(refusal) => return refusal.into_response(),
    };
    if call.faults.error_5xx {
        return Refusal::Unavailable.into_response();
    }
    call.faults.wait().await;
    let found = state.store().get(&target);
    match found {
        None => Refusal::ObjectMissing.into_response(),
        Some(object) => {
            let version = object.version.to_string();
            let body = &object.body.value;
            let answer = json!({ "id": &*target.id, "version": version, "body": body });
            with_etag(Json(answer).into_response(), object.version)
        }
    }
}

async fn write(state: &ShopState, call: &Admitted, attempt: Attempt) -> Response {
    let attempts = [attempt];
    let (mut response, dropped) = match perform(state, call, &attempts).await {
        Ok(mut performed) => {
            let answer = performed.answers.remove(0);
            (respond(&attempts[0].target, answer), performed.dropped)
        }
        Err(refusal) => (refusal.into_response(), false),
    };
    response
        .extensions_mut()
        .insert(Served { items: 1, dropped });
    response
}

fn respond(target: &ObjectKey, answer: Answer) -> Response {
    let success = match answer.outcome {
        Ok(success) => success,
        Err(refusal) => return refusal.into_response(),
    };
    let mut response = match success.version() {
        None => success.status().into_response(),
        Some(version) => {
            let body = json!({
                "id": &*target.id,
                "version": version.to_string(),
                "changed": success.changed(),
            });
            with_etag((success.status(), Json(body)).into_response(), version)
        }
    };
    if answer.replayed {
        let replayed = HeaderName::from_static("idempotent-replayed");
        response
            .headers_mut()
            .insert(replayed, HeaderValue::from_static("true"));
    }
    response
}

fn with_etag(mut response: Response, version: u64) -> Response {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

fn target(object_type: &str, id: &str) -> Result<ObjectKey, Refusal> {
    ObjectType::parse(object_type)
        .map(|known| ObjectKey::new(known, id))
        .ok_or_else(|| Refusal::type_unknown(object_type))
}

/// The action and the version that the conditional headers (RFC 9110, section 13.1) ask for.
fn conditions(headers: &HeaderMap) -> Result<(Action, Option<String>), Refusal> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    match (text(IF_NONE_MATCH), text(IF_MATCH)) {
        (None, None) => Ok((Action::Upsert, None)),
        (Some("*"), None) => Ok((Action::Create, None)),
        (None, Some("*")) => Ok((Action::Update, None)),
        (None, Some(version)) => Ok((Action::Update, Some(version.trim_matches('"').to_owned()))),
        _ => Err(Refusal::HeaderInvalid),
    }
}

/// The idempotency key, bare or quoted.
fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    Some(key.trim_matches('"').to_owned())
}

fn read_body(bytes: &Bytes, max_body_bytes: u64) -> Result<Value, Refusal> {
    if bytes.len() as u64 > max_body_bytes {
        return Err(Refusal::BodyTooLarge { max_body_bytes });
    }
    serde_json::from_slice(bytes).map_err(|error| Refusal::body_invalid("", error.to_string()))
}
