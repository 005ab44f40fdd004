//! A Metadata API with a scripted behavior. It counts requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Debug)]
pub enum Behavior {
    /// Answers with this revision and a body from the id and this text.
    Good(u64, &'static str),
    /// Answers with this status and an empty body.
    Status(u16),
    /// Answers 200 with this text.
    Text(String),
    /// Does not answer until its behavior changes.
    Silent,
}

pub struct FaultySource {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    behavior: watch::Sender<Behavior>,
    requests: AtomicU64,
    open: Mutex<(u64, u64)>,
}

impl FaultySource {
    pub async fn start(behavior: Behavior) -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?, behavior).await
    }

    pub async fn start_on(address: SocketAddr, behavior: Behavior) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behavior: watch::Sender::new(behavior),
            requests: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let router = Router::new()
            .route("/objects/{type}/{id}", get(one))
            .route("/objects:batchGet", post(many))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn behave(&self, behavior: Behavior) {
        self.shared.behavior.send_replace(behavior);
    }

    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The highest number of concurrent requests.
    pub fn at_once(&self) -> u64 {
        self.shared.open.lock().unwrap().1
    }
}

impl Drop for FaultySource {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path((object_type, id)): Path<(String, String)>,
) -> Response {
    shared
        .answer(|revision, text| object(&object_type, &id, revision, text))
        .await
}

async fn many(State(shared): State<Arc<Shared>>, asked: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&asked).unwrap_or_default();
    let object_type = asked["type"].as_str().unwrap_or_default().to_owned();
    let ids: Vec<_> = asked["ids"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    shared
        .answer(|revision, text| {
            let objects: Vec<_> = ids
                .iter()
                .map(|id| object(&object_type, id, revision, text))
                .collect();
            json!({"objects": objects, "missing": []})
        })
        .await
}

fn object(object_type: &str, id: &str, revision: u64, text: &str) -> Value {
    let body = json!({"name": {"en": format!("{id} {text}")}});
    json!({"id": id, "type": object_type, "revision": revision, "body": body})
}

impl Shared {
    async fn answer(&self, good: impl Fn(u64, &str) -> Value) -> Response {
        self.requests.fetch_add(1, Ordering::Relaxed);
        {
            let mut counts = self.open.lock().unwrap();
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
        }
        let _end = EndOfRequest(self);
        let mut behavior = self.behavior.subscribe();
        let behavior = match behavior
            .wait_for(|behavior| !matches!(behavior, Behavior::Silent))
            .await
        {
            Ok(behavior) => behavior.clone(),
            Err(_) => Behavior::Status(500),
        };
        match behavior {
            Behavior::Good(revision, text) => axum::Json(good(revision, text)).into_response(),
            Behavior::Status(status) => StatusCode::from_u16(status)
                .unwrap_or_default()
                .into_response(),
            Behavior::Text(text) => {
                ([(header::CONTENT_TYPE, "application/json")], text).into_response()
            }
            Behavior::Silent => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

struct EndOfRequest<'a>(&'a Shared);

impl Drop for EndOfRequest<'_> {
    fn drop(&mut self) {
        self.0.open.lock().unwrap().0 -= 1;
    }
}
