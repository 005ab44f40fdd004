//! A Metadata API, from which the host reads bodies. It answers single and batch reads, requires a
//! bearer token, and counts requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Result;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Clone, Debug, Serialize)]
pub struct SourceObject {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub object_type: String,
    /// Larger is newer.
    pub revision: u64,
    /// Its body, as raw JSON.
    pub body: Box<RawValue>,
}

/// A running Metadata API. Dropping it stops it.
#[derive(Debug)]
pub struct MetadataApi {
    address: SocketAddr,
    state: Arc<SourceState>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct SourceState {
    token: String,
    objects: RwLock<HashMap<String, HashMap<String, SourceObject>>>,
    requests: AtomicU64,
    reads: AtomicU64,
}

impl MetadataApi {
    /// Serves the objects on a free loopback port to clients with the token.
    ///
    /// # Errors
    /// It cannot listen on a port.
    pub async fn start(
        objects: impl IntoIterator<Item = SourceObject>,
        token: &str,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(SourceState {
            token: token.to_owned(),
            objects: RwLock::default(),
            requests: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        });
        for object in objects {
            state.put(object);
        }
        let router = Router::new()
            .route("/objects/{type}/{id}", get(one))
            .route("/objects:batchGet", post(batch))
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move {
            // It ends with its handle; the error of one connection does not end it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            state,
            server,
        })
    }

    /// `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds or replaces an object.
    pub fn put(&self, object: SourceObject) {
        self.state.put(object);
    }

    /// The number of requests, and of objects served.
    #[must_use]
    pub fn asked(&self) -> (u64, u64) {
        (
            self.state.requests.load(Ordering::Relaxed),
            self.state.reads.load(Ordering::Relaxed),
        )
    }
}

impl Drop for MetadataApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl SourceState {
    fn put(&self, object: SourceObject) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects
            .entry(object.object_type.clone())
            .or_default()
            .insert(object.id.clone(), object);
    }

    fn find(&self, object_type: &str, id: &str) -> Option<SourceObject> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let found = objects.get(object_type)?.get(id).cloned();
        self.reads
            .fetch_add(u64::from(found.is_some()), Ordering::Relaxed);
        found
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        if given.and_then(|value| value.strip_prefix("Bearer ")) == Some(self.token.as_str()) {
            Ok(())
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }
}

async fn one(
    State(state): State<Arc<SourceState>>,
    headers: HeaderMap,
    Path((object_type, id)): Path<(String, String)>,
) -> Response {
    if let Err(refused) = state.admit(&headers) {
        return refused.into_response();
    }
    match state.find(&object_type, &id) {
        Some(object) => Json(object).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Deserialize)]
struct BatchRequest {
    #[serde(rename = "type")]
    object_type: String,
    ids: Vec<String>,
}

#[derive(Serialize)]
struct BatchAnswer {
    objects: Vec<SourceObject>,
    missing: Vec<String>,
}

async fn batch(
    State(state): State<Arc<SourceState>>,
    headers: HeaderMap,
    Json(asked): Json<BatchRequest>,
) -> Response {
    if let Err(refused) = state.admit(&headers) {
        return refused.into_response();
    }
    let mut answer = BatchAnswer {
        objects: Vec::with_capacity(asked.ids.len()),
        missing: Vec::new(),
    };
    for id in asked.ids {
        match state.find(&asked.object_type, &id) {
            Some(object) => answer.objects.push(object),
            None => answer.missing.push(id),
        }
    }
    Json(answer).into_response()
}
