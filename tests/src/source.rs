//! A Metadata API: where the host reads bodies. It answers single and batch reads, asks for a
//! bearer token and counts what it was asked.

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

/// One object as the source has it.
#[derive(Clone, Debug, Serialize)]
pub struct SourceObject {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub object_type: String,
    /// Larger is newer.
    pub revision: u64,
    /// Its body, JSON as it is sent.
    pub body: Box<RawValue>,
}

/// A running Metadata API. Ends with its handle.
#[derive(Debug)]
pub struct MetadataApi {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shelf {
    token: String,
    objects: RwLock<HashMap<String, HashMap<String, SourceObject>>>,
    requests: AtomicU64,
    reads: AtomicU64,
}

impl MetadataApi {
    /// Serves the objects on a free port of this machine to whoever has the token.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start(
        objects: impl IntoIterator<Item = SourceObject>,
        token: &str,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shelf = Arc::new(Shelf {
            token: token.to_owned(),
            objects: RwLock::default(),
            requests: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        });
        for object in objects {
            shelf.put(object);
        }
        let router = Router::new()
            .route("/objects/{type}/{id}", get(one))
            .route("/objects:batchGet", post(batch))
            .with_state(Arc::clone(&shelf));
        let server = tokio::spawn(async move {
            // It ends with the handle; an error of a single connection does not end it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shelf,
            server,
        })
    }

    /// `http://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts an object in place of an older one.
    pub fn put(&self, object: SourceObject) {
        self.shelf.put(object);
    }

    /// Requests answered so far, and objects given in them.
    #[must_use]
    pub fn asked(&self) -> (u64, u64) {
        (
            self.shelf.requests.load(Ordering::Relaxed),
            self.shelf.reads.load(Ordering::Relaxed),
        )
    }
}

impl Drop for MetadataApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shelf {
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
    State(shelf): State<Arc<Shelf>>,
    headers: HeaderMap,
    Path((object_type, id)): Path<(String, String)>,
) -> Response {
    if let Err(refused) = shelf.admit(&headers) {
        return refused.into_response();
    }
    match shelf.find(&object_type, &id) {
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
    State(shelf): State<Arc<Shelf>>,
    headers: HeaderMap,
    Json(asked): Json<BatchRequest>,
) -> Response {
    if let Err(refused) = shelf.admit(&headers) {
        return refused.into_response();
    }
    let mut answer = BatchAnswer {
        objects: Vec::with_capacity(asked.ids.len()),
        missing: Vec::new(),
    };
    for id in asked.ids {
        match shelf.find(&asked.object_type, &id) {
            Some(object) => answer.objects.push(object),
            None => answer.missing.push(id),
        }
    }
    Json(answer).into_response()
}
