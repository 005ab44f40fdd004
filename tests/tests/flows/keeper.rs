//! A destination that keeps what is put and can be asked for it, and loses answers as told.

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

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is kept and answered.
    Kept,
    /// It is kept, and the answer breaks off.
    KeptUnanswered,
    /// It is not kept, and the answer breaks off.
    LostUnanswered,
    /// It is not kept, and the answer is a 503 with this `Retry-After` in seconds.
    Down(u64),
    /// It is kept, and not answered until the keeper goes.
    Hold,
}

/// How reads are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Truly.
    Truly,
    /// With a 503 and this `Retry-After` in seconds.
    Down(u64),
    /// With this status.
    Status(u16),
}

/// One write as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    pub id: String,
    pub key: String,
    pub body: Vec<u8>,
    /// How long after the keeper's start.
    pub after: Duration,
}

pub struct Keeper {
    address: SocketAddr,
    desk: Arc<Desk>,
    server: JoinHandle<()>,
}

struct Desk {
    next: Mutex<Vec<Write>>,
    read: Read,
    things: Mutex<HashMap<String, Vec<u8>>>,
    writes: Mutex<Vec<Came>>,
    watch: Stopwatch,
    reads: watch::Sender<u64>,
    came: watch::Sender<usize>,
}

impl Keeper {
    /// Treats its first writes like these, and keeps and answers all later ones.
    pub async fn start(writes: &[Write], read: Read) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut script = writes.to_vec();
        script.reverse();
        let desk = Arc::new(Desk {
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
            .with_state(Arc::clone(&desk));
        let server = tokio::spawn(async move {
            // It ends with the handle; an error of a single connection does not end it.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            desk,
            server,
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/things", self.address)
    }

    pub fn writes(&self) -> Vec<Came> {
        lock(&self.desk.writes).clone()
    }

    pub fn reads(&self) -> u64 {
        *self.desk.reads.borrow()
    }

    pub async fn until_written(&self, writes: usize) {
        // The sender lives in the handle, so this cannot fail.
        let _ = self
            .desk
            .came
            .subscribe()
            .wait_for(|came| *came >= writes)
            .await;
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn read_one(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    desk.reads.send_modify(|reads| *reads += 1);
    match (desk.read, lock(&desk.things).get(&id)) {
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
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let write = lock(&desk.next).pop().unwrap_or(Write::Kept);
    if matches!(write, Write::Kept | Write::KeptUnanswered | Write::Hold) {
        lock(&desk.things).insert(id.clone(), body.to_vec());
    }
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let count = {
        let mut writes = lock(&desk.writes);
        writes.push(Came {
            id,
            key,
            body: body.to_vec(),
            after: desk.watch.elapsed(),
        });
        writes.len()
    };
    desk.came.send_replace(count);
    match write {
        Write::Kept => StatusCode::CREATED.into_response(),
        // The head of an answer whose body never comes whole.
        Write::KeptUnanswered | Write::LostUnanswered => {
            let broken =
                stream::iter([Err::<Bytes, _>(std::io::Error::other("told to break off"))]);
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
