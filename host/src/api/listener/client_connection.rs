//! Serves one connection, HTTP/1.1 or HTTP/2, until it ends, does nothing for too long, or the host
//! stops.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::io::InspectWriter;
use tower::ServiceExt as _;

use super::activity::Activity;
use super::connection_bounds::ConnectionBounds;
use crate::clock::Clock;

/// Requests that one HTTP/2 connection may have in progress.
const MAX_STREAMS: u32 = 200;

/// What connections of one listener share.
#[derive(Clone)]
pub struct Serving {
    pub router: Router,
    pub bounds: ConnectionBounds,
    pub clock: Clock,
    pub stopped: watch::Receiver<bool>,
}

impl Serving {
    /// Serves any number of requests.
    pub async fn serve(self, stream: TcpStream) {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http2().max_concurrent_streams(MAX_STREAMS);
        self.run(stream, builder).await;
    }

    /// Serves one request.
    pub async fn serve_one(self, stream: TcpStream) {
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().keep_alive(false);
        self.run(stream, builder).await;
    }

    async fn run(mut self, stream: TcpStream, builder: Builder<TokioExecutor>) {
        let activity = Activity::new(self.clock);
        let written = Arc::clone(&activity);
        let io = TokioIo::new(InspectWriter::new(stream, move |_| written.wrote()));
        let requests = Arc::clone(&activity);
        let router = self.router;
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let in_progress = requests.begin();
            let response = router.clone().oneshot(request.map(Body::new));
            async move {
                let response: Result<_, Infallible> = response.await;
                drop(in_progress);
                response
            }
        });
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        let mut stopping = false;
        loop {
            tokio::select! {
                // A broken connection concerns its client only.
                _ = connection.as_mut() => return,
                () = activity.idle(&self.bounds) => return,
                // An error means that the sender is gone, which is the end as well.
                _ = self.stopped.wait_for(|stopped| *stopped), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
