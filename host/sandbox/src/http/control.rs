//! The control surface under `/_sandbox`, for tests and demos: report, logs, objects, scenario
//! changes and reset. It has no authentication, so listen on loopback.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    object::ObjectType,
    report::Report,
    scenario::{ScenarioChange, ScenarioError},
    state::ShopState,
};

/// The routes below `/_sandbox`.
pub(crate) fn router() -> Router<Arc<ShopState>> {
    Router::new()
        .route("/report", get(report))
        .route("/calls", get(calls))
        .route("/writes", get(writes))
        .route("/objects", get(objects))
        .route("/scenario", put(change))
        .route("/reset", post(reset))
}

#[derive(Serialize)]
struct ObjectLine<'a> {
    r#type: ObjectType,
    id: &'a str,
    version: String,
    digest: &'a str,
    body: &'a Value,
}

async fn report(State(state): State<Arc<ShopState>>) -> Json<Report> {
    Json(Report::of(&state))
}

async fn calls(State(state): State<Arc<ShopState>>) -> Response {
    // Copied first, so that the lock is not held while a long log is serialized.
    let calls = state.arrivals().calls().to_vec();
    let numbered = (1..).zip(&calls);
    ndjson(numbered.map(|(seq, call)| call.line(seq, &state.clock)))
}

async fn writes(State(state): State<Arc<ShopState>>) -> Response {
    let writes = state.store().writes().to_vec();
    let numbered = (1..).zip(&writes);
    ndjson(numbered.map(|(seq, write)| write.line(seq, &state.clock)))
}

async fn objects(State(state): State<Arc<ShopState>>) -> Response {
    let objects: Vec<_> = state
        .store()
        .objects()
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect();
    ndjson(objects.iter().map(|(key, object)| ObjectLine {
        r#type: key.object_type,
        id: &key.id,
        version: object.version.to_string(),
        digest: &object.body.digest,
        body: &object.body.value,
    }))
}

async fn change(State(state): State<Arc<ShopState>>, body: Bytes) -> Response {
    let changed = serde_json::from_slice::<ScenarioChange>(&body)
        .map_err(ScenarioError::from)
        .and_then(|change| state.change(change));
    match changed {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let error = json!({ "code": "scenario.invalid", "message": error.to_string() });
            (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
        }
    }
}

async fn reset(State(state): State<Arc<ShopState>>) -> StatusCode {
    state.reset();
    StatusCode::NO_CONTENT
}

/// One JSON document per line.
fn ndjson<T: Serialize>(lines: impl Iterator<Item = T>) -> Response {
    let mut text = Vec::new();
    for line in lines {
        if let Err(error) = serde_json::to_writer(&mut text, &line) {
            tracing::error!(%error, "failed to serialize a log line");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        text.push(b'\n');
    }
    let content_type = HeaderValue::from_static("application/x-ndjson");
    ([(CONTENT_TYPE, content_type)], text).into_response()
}
