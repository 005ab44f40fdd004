//! The spans of the log. `docs/logging.md` lists their fields.
//!
//! They have the level `error`, so that no filter separates a line from its span.

use tracing::{Span, error_span};

/// One request to the REST API.
pub fn request(method: &http::Method, path: &str, trace_id: &str) -> Span {
    error_span!("request", %method, path, trace_id)
}

/// One call of a connector, from preparation to settlement. `connection`: `acme/shop-de`.
pub fn call(connection: &str, call: i64) -> Span {
    error_span!("call", connection, call)
}

/// One check of a connection.
pub fn check(connection: &str) -> Span {
    error_span!("check", connection)
}
