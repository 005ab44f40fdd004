//! Reads and drops the rest of a refused request's body for a while. Otherwise a client that is
//! still sending would find the connection closed and never see the response (RFC 9112, section
//! 9.6).
//!
//! The response does not wait for this. A request with `Expect: 100-continue` has sent nothing yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::time::timeout;

/// Bytes to read at most: tens of thousands of jobs, about what clients buffer ahead.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Time without data after which the rest is given up, in milliseconds.
const IDLE_MS: u64 = 500;
/// Total time, in milliseconds.
const TOTAL_MS: u64 = 5000;

pub async fn layer(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = Shared(Arc::new(Mutex::new(body)));
    let rest = shared.clone();
    let response = next
        .run(Request::from_parts(parts, Body::new(shared)))
        .await;
    if response.status().is_client_error() || response.status().is_server_error() {
        tokio::spawn(timeout(Duration::from_millis(TOTAL_MS), drain(rest)));
    }
    response
}

async fn drain(mut rest: Shared) {
    let mut left = MAX_BYTES;
    while let Ok(Some(Ok(frame))) = timeout(Duration::from_millis(IDLE_MS), rest.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        if left == 0 {
            return;
        }
    }
}

/// A body that the handler reads first, and then [`drain`].
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
