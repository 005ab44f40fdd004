//! A destination that records requests; their path determines the answer.
//!
//! - `/ok` answers.
//! - `/close` answers and closes the connection.
//! - `/hold` answers when it is released.
//! - `/echo` answers with the credential that it received.
//! - `/redirect?<url>` redirects to the URL.
//! - `/objects/<type>/<id>` answers with an empty object, as a Metadata API.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// One request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its `Authorization`, empty if there was none.
    pub authorization: String,
    /// Its `traceparent`, empty if there was none.
    pub traceparent: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// A running destination. Dropping it stops it.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    arrived: Mutex<Vec<Arrived>>,
    count: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

impl Target {
    /// Serves on a free loopback port.
    ///
    /// # Errors
    /// It cannot listen on a port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            arrived: Mutex::default(),
            count: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        let router = Router::new()
            .fallback(answer)
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

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    #[must_use]
    pub fn arrived(&self) -> Vec<Arrived> {
        self.shared
            .arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until this number of requests has arrived.
    pub async fn until_arrived(&self, requests: usize) {
        // The handle owns the sender, so this cannot fail.
        let _ = self
            .shared
            .count
            .subscribe()
            .wait_for(|count| *count >= requests)
            .await;
    }

    /// Answers all calls to `/hold`, current and later ones.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let told = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let (authorization, traceparent) = (told("authorization"), told("traceparent"));
    let path = uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    let request = Arrived {
        method: method.to_string(),
        path,
        authorization: authorization.clone(),
        traceparent,
        body: body.to_vec(),
    };
    let count = {
        let mut arrived = shared
            .arrived
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        arrived.push(request);
        arrived.len()
    };
    shared.count.send_replace(count);
    match uri.path() {
        "/hold" => {
            // An error means that the test has ended.
            let _ = shared
                .released
                .subscribe()
                .wait_for(|released| *released)
                .await;
            "{}".into_response()
        }
        "/echo" => {
            let shown =
                HeaderValue::from_str(&authorization).unwrap_or(HeaderValue::from_static("none"));
            (
                [("x-seen", shown)],
                format!("{{\"seen\":\"{authorization}\"}}"),
            )
                .into_response()
        }
        "/redirect" => {
            let to = HeaderValue::from_str(uri.query().unwrap_or_default())
                .unwrap_or(HeaderValue::from_static("/ok"));
            (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
        }
        "/close" => ([(header::CONNECTION, "close")], "{}").into_response(),
        path => match path
            .strip_prefix("/objects/")
            .and_then(|object| object.split_once('/'))
        {
            Some((object_type, id)) => {
                format!(r#"{{"id":"{id}","type":"{object_type}","revision":1,"body":{{}}}}"#)
                    .into_response()
            }
            None => "{}".into_response(),
        },
    }
}
