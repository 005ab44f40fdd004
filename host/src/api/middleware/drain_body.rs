//! What is left of a refused request is still read for a while and dropped: whoever is in the
//! middle of sending it would otherwise meet a closed connection, and never see why it was refused
//! (RFC 9112, section 9.6).
//!
//! The answer does not wait for this. A request that asked first (`Expect: 100-continue`) is told
//! no before it sends anything.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
use tokio::time::timeout;

/// Bytes that are read at most: tens of thousands of jobs, and no more than the senders' own
/// buffers ahead of an upload.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// How long nothing may come before the rest is given up, in milliseconds.
const IDLE_MS: u64 = 500;
/// How long it may take in all, in milliseconds.
const TOTAL_MS: u64 = 5000;

/// Lets the sender of a refused request finish.
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

/// A body that the handler reads, and after it whoever drains the rest.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
