//! The control surface under `/_sandbox`, for tests and demos: the report, the logs, the objects,
//! a change of scenario, a reset. Without authentication, so listen on loopback.

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
    floor::Floor,
    object::ObjectType,
    report::Report,
    scenario::{ScenarioChange, ScenarioError},
};

/// The routes below `/_sandbox`.
pub(crate) fn router() -> Router<Arc<Floor>> {
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

async fn report(State(floor): State<Arc<Floor>>) -> Json<Report> {
    Json(Report::of(&floor))
}

async fn calls(State(floor): State<Arc<Floor>>) -> Response {
    // Copied first: the text of a long log is not written while the door is locked.
    let calls = floor.door().calls().to_vec();
    let numbered = (1..).zip(&calls);
    ndjson(numbered.map(|(seq, call)| call.line(seq, &floor.clock)))
}

async fn writes(State(floor): State<Arc<Floor>>) -> Response {
    let writes = floor.store().writes().to_vec();
    let numbered = (1..).zip(&writes);
    ndjson(numbered.map(|(seq, write)| write.line(seq, &floor.clock)))
}

async fn objects(State(floor): State<Arc<Floor>>) -> Response {
    let objects: Vec<_> = floor
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

async fn change(State(floor): State<Arc<Floor>>, body: Bytes) -> Response {
    let changed = serde_json::from_slice::<ScenarioChange>(&body)
        .map_err(ScenarioError::from)
        .and_then(|change| floor.change(change));
    match changed {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let error = json!({ "code": "scenario.invalid", "message": error.to_string() });
            (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
        }
    }
}

async fn reset(State(floor): State<Arc<Floor>>) -> StatusCode {
    floor.reset();
    StatusCode::NO_CONTENT
}

/// One JSON text a line.
fn ndjson<T: Serialize>(lines: impl Iterator<Item = T>) -> Response {
    let mut text = Vec::new();
    for line in lines {
        if let Err(error) = serde_json::to_writer(&mut text, &line) {
            tracing::error!(%error, "a log line could not be written");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        text.push(b'\n');
    }
    let content_type = HeaderValue::from_static("application/x-ndjson");
    ([(CONTENT_TYPE, content_type)], text).into_response()
}
