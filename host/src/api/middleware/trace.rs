//! The trace id of a request: the caller's (W3C Trace Context) or a new one. Every problem, the
//! `Trace-Id` response header and the log contain it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use tracing::Instrument;
use uuid::Uuid;

use crate::telemetry::spans;

tokio::task_local! {
    static TRACE_ID: String;
}

/// The trace id of the request that this task serves; outside a request, 32 zeros.
pub fn current() -> String {
    TRACE_ID
        .try_with(Clone::clone)
        .unwrap_or_else(|_| "0".repeat(32))
}

/// Sets the trace id of each request.
pub async fn layer(request: Request, next: Next) -> Response {
    let parent = traceparent(request.headers());
    let id = parent
        .as_deref()
        .and_then(trace_id)
        .map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned);
    let span = spans::request(request.method(), request.uri().path(), &id);
    let header = HeaderValue::from_str(&id);
    let mut response = TRACE_ID.scope(id, next.run(request)).instrument(span).await;
    if let Ok(value) = header {
        response.headers_mut().insert("trace-id", value);
    }
    response
}

/// The caller's `traceparent`, if it is valid.
pub fn traceparent(headers: &HeaderMap) -> Option<String> {
    headers
        .get("traceparent")?
        .to_str()
        .ok()
        .filter(|text| is_traceparent(text))
        .map(str::to_owned)
}

/// The trace id in a valid `traceparent`.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    is_traceparent(traceparent).then(|| &traceparent[3..35])
}

/// Whether a text is a `traceparent` of version 00 without zero ids (W3C Trace Context, section
/// 3.2).
pub fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_hex = |part: Option<&str>, length: usize| {
        part.is_some_and(|p| {
            p.len() == length
                && p.bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    };
    parts.next() == Some("00")
        && is_hex(parts.next(), 32)
        && is_hex(parts.next(), 16)
        && is_hex(parts.next(), 2)
        && parts.next().is_none()
        && !text[3..35].bytes().all(|b| b == b'0')
        && !text[36..52].bytes().all(|b| b == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_checked_completely() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }
}
