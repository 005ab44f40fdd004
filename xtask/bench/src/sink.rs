//! A destination that does nothing but answer, in a process of its own: `egression-bench sink`.
//!
//! It counts all requests. It keeps the moment of those below `/timed`, and shows both at
//! `/_arrivals`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use egression_tests::process::Running;
use egression_tests::rest::Rest;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::clock::now_ns;

const TIMED: &str = "/timed/";
const ARRIVALS: &str = "/_arrivals";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    pub(crate) requests: u64,
    /// The last segment of the path, and the moment on the monotonic clock.
    pub(crate) timed_ns: BTreeMap<String, u64>,
}

/// A running sink. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Sink {
    running: Running,
    rest: Rest,
}

impl Sink {
    /// Starts this program once more.
    pub(crate) async fn start(directory: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("unknown path of this program")?;
        let mut command = Command::new(program);
        command.arg("sink");
        let running = Running::start("sink", command, directory).await?;
        let rest = Rest::new(running.url(), None)?;
        Ok(Self { running, rest })
    }

    pub(crate) fn url(&self) -> String {
        self.running.url()
    }

    /// The URL below which the sink keeps the moments.
    pub(crate) fn timed_url(&self) -> String {
        format!("{}{}", self.url(), TIMED.trim_end_matches('/'))
    }

    pub(crate) async fn arrivals(&self) -> Result<Arrivals> {
        self.rest.get(ARRIVALS).await
    }
}

/// Serves on a free port until the process ends.
#[expect(clippy::print_stdout, reason = "the starter reads the address")]
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let arrivals = Arc::new(Mutex::new(Arrivals::default()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let arrivals = Arc::clone(&arrivals);
        let service = service_fn(move |request| answer(Arc::clone(&arrivals), request));
        tokio::spawn(async move {
            let io = TokioIo::new(stream);
            // A broken connection concerns its client only.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
    }
}

async fn answer(
    arrivals: Arc<Mutex<Arrivals>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let arrived_ns = now_ns();
    if request.uri().path() == ARRIVALS {
        let page = serde_json::to_vec(&*arrivals.lock()).unwrap_or_default();
        return Ok(Response::new(Full::from(page)));
    }
    {
        let mut arrivals = arrivals.lock();
        arrivals.requests += 1;
        if let Some(id) = request.uri().path().strip_prefix(TIMED) {
            arrivals.timed_ns.entry(id.to_owned()).or_insert(arrived_ns);
        }
    }
    let mut body = request.into_body();
    while body.frame().await.is_some() {}
    Ok(Response::new(Full::from(Bytes::from_static(b"{}"))))
}
