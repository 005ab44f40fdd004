//! A Metadata API that misbehaves as told, and counts what it is asked.

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

/// How it answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// As it should, with this revision and a body made of the id and this text.
    Good(u64, &'static str),
    /// With this status and nothing else.
    Status(u16),
    /// 200 with this text.
    Text(String),
    /// Not until it is told to behave otherwise.
    Silent,
}

pub struct Wayward {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

struct Desk {
    manner: watch::Sender<Manner>,
    requests: AtomicU64,
    under_way: Mutex<(u64, u64)>,
}

impl Wayward {
    pub async fn start(manner: Manner) -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?, manner).await
    }

    pub async fn start_on(address: SocketAddr, manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk {
            manner: watch::Sender::new(manner),
            requests: AtomicU64::new(0),
            under_way: Mutex::default(),
        });
        let router = Router::new()
            .route("/objects/{type}/{id}", get(one))
            .route("/objects:batchGet", post(many))
            .with_state(Arc::clone(&desk));
        let server = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self {
            address,
            desk,
            server,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn behave(&self, manner: Manner) {
        self.desk.manner.send_replace(manner);
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.desk.requests.load(Ordering::Relaxed)
    }

    /// The most requests that were under way at once.
    pub fn at_once(&self) -> u64 {
        self.desk.under_way.lock().unwrap().1
    }
}

impl Drop for Wayward {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn one(
    State(desk): State<Arc<Desk>>,
    Path((object_type, id)): Path<(String, String)>,
) -> Response {
    desk.answer(|revision, text| object(&object_type, &id, revision, text))
        .await
}

async fn many(State(desk): State<Arc<Desk>>, asked: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&asked).unwrap_or_default();
    let object_type = asked["type"].as_str().unwrap_or_default().to_owned();
    let ids: Vec<_> = asked["ids"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    desk.answer(|revision, text| {
        let objects: Vec<_> = ids
            .iter()
            .map(|id| object(&object_type, id, revision, text))
            .collect();
        json!({"objects": objects, "missing": []})
    })
    .await
}

fn object(object_type: &str, id: &str, revision: u64, text: &str) -> Value {
    json!({"id": id, "type": object_type, "revision": revision, "body": {"name": {"en": format!("{id} {text}")}}})
}

impl Desk {
    async fn answer(&self, good: impl Fn(u64, &str) -> Value) -> Response {
        self.requests.fetch_add(1, Ordering::Relaxed);
        {
            let mut counts = self.under_way.lock().unwrap();
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
        }
        let _leaves = Leaves(self);
        let mut manner = self.manner.subscribe();
        let manner = match manner
            .wait_for(|manner| !matches!(manner, Manner::Silent))
            .await
        {
            Ok(manner) => manner.clone(),
            Err(_) => Manner::Status(500),
        };
        match manner {
            Manner::Good(revision, text) => axum::Json(good(revision, text)).into_response(),
            Manner::Status(status) => StatusCode::from_u16(status)
                .unwrap_or_default()
                .into_response(),
            Manner::Text(text) => {
                ([(header::CONTENT_TYPE, "application/json")], text).into_response()
            }
            Manner::Silent => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

struct Leaves<'a>(&'a Desk);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
    }
}
