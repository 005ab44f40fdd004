//! A destination that records writes, answers reads, and loses scripted answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use egression_tests::stopwatch::Stopwatch;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The scripted outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stored and answered.
    Kept,
    /// Stored, but the answer breaks off.
    KeptUnanswered,
    /// Not stored, and the answer breaks off.
    LostUnanswered,
    /// Not stored, and answered 503 with this `Retry-After` in seconds.
    Down(u64),
    /// Stored, but never answered.
    Hold,
}

/// The answer to reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The stored object, or 404.
    Truly,
    /// 503 with this `Retry-After` in seconds.
    Down(u64),
    Status(u16),
}

/// One write that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub id: String,
    pub key: String,
    pub body: Vec<u8>,
    /// The time since the destination's start.
    pub after: Duration,
}

pub struct RecordingDestination {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    next: Mutex<Vec<Write>>,
    read: Read,
    things: Mutex<HashMap<String, Vec<u8>>>,
    writes: Mutex<Vec<Arrived>>,
    watch: Stopwatch,
    reads: watch::Sender<u64>,
    came: watch::Sender<usize>,
}

impl RecordingDestination {
    /// The first writes get these outcomes; all later ones are stored and answered.
    pub async fn start(writes: &[Write], read: Read) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut script = writes.to_vec();
        script.reverse();
        let shared = Arc::new(Shared {
            next: Mutex::new(script),
            read,
            things: Mutex::default(),
            writes: Mutex::default(),
            watch: Stopwatch::start(),
            reads: watch::Sender::new(0),
            came: watch::Sender::new(0),
        });
        let router = Router::new()
            .route("/things/{id}", get(read_one).put(write_one))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // It ends with its handle; the error of one connection does not end it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            server,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/things", self.address)
    }

    pub fn writes(&self) -> Vec<Arrived> {
        lock(&self.shared.writes).clone()
    }

    pub fn reads(&self) -> u64 {
        *self.shared.reads.borrow()
    }

    pub async fn until_written(&self, writes: usize) {
        // The handle owns the sender, so this cannot fail.
        let _ = self
            .shared
            .came
            .subscribe()
            .wait_for(|came| *came >= writes)
            .await;
    }
}

impl Drop for RecordingDestination {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn read_one(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    shared.reads.send_modify(|reads| *reads += 1);
    match (shared.read, lock(&shared.things).get(&id)) {
        (Read::Status(status), _) => StatusCode::from_u16(status).unwrap().into_response(),
        (Read::Down(seconds), _) => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, seconds.to_string())],
        )
            .into_response(),
        (Read::Truly, Some(body)) => body.clone().into_response(),
        (Read::Truly, None) => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write_one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let write = lock(&shared.next).pop().unwrap_or(Write::Kept);
    if matches!(write, Write::Kept | Write::KeptUnanswered | Write::Hold) {
        lock(&shared.things).insert(id.clone(), body.to_vec());
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let count = {
        let mut writes = lock(&shared.writes);
        writes.push(Arrived {
            id,
            key,
            body: body.to_vec(),
            after: shared.watch.elapsed(),
        });
        writes.len()
    };
    shared.came.send_replace(count);
    match write {
        Write::Kept => StatusCode::CREATED.into_response(),
        // An answer whose body is incomplete.
        Write::KeptUnanswered | Write::LostUnanswered => {
            let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("scripted break"))]);
            ([(header::CONTENT_LENGTH, "100")], Body::from_stream(broken)).into_response()
        }
        Write::Down(seconds) => (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, seconds.to_string())],
        )
            .into_response(),
        Write::Hold => std::future::pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
