//! `Idempotency-Key`: a repeated request with the same key and body returns the same execution.
//! This module compares the bodies.
//!
//! Keys are scoped to subscription and operation. The store writes a key in the transaction that
//! seals the jobs; the keys of requests that are still arriving are in memory.

use std::collections::HashSet;
use std::sync::Arc;

use egression_core::domain::ids::SubscriptionId;
use http::HeaderMap;
use parking_lot::Mutex;

use crate::api::http::problem::ApiError;
use crate::store::rows::IdempotencyRecord;

/// The longest key in bytes.
pub const MAX_KEY_BYTES: usize = 255;

type Scope = (SubscriptionId, &'static str, String);

#[derive(Debug, Default)]
pub struct Receiving(Mutex<HashSet<Scope>>);

/// Holds a key until its request ends.
#[derive(Debug)]
pub struct Held {
    receiving: Arc<Receiving>,
    scope: Scope,
}

impl Receiving {
    /// Errors: 409 while another request holds the key.
    pub fn hold(
        self: &Arc<Self>,
        subscription: SubscriptionId,
        operation: &'static str,
        key: &str,
    ) -> Result<Held, ApiError> {
        let scope = (subscription, operation, key.to_owned());
        if self.0.lock().insert(scope.clone()) {
            return Ok(Held {
                receiving: Arc::clone(self),
                scope,
            });
        }
        let detail = "the host is still receiving the first request with this Idempotency-Key; \
                      repeat the request later";
        Err(ApiError::conflict("request_in_progress", detail))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.receiving.0.lock().remove(&self.scope);
    }
}

/// The key of a request, bare or as a quoted string (RFC 9651, section 3.3.3). Errors: 400 if it is
/// empty, too long, or not visible ASCII.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let key = match text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.to_owned(),
    };
    if key.is_empty()
        || key.len() > MAX_KEY_BYTES
        || !key.bytes().all(|b| (0x20..0x7f).contains(&b))
    {
        let detail = format!(
            "expected 1 to {MAX_KEY_BYTES} visible ASCII characters, bare or in double quotes"
        );
        return Err(ApiError::at("#idempotency-key", "invalid_value", detail));
    }
    Ok(Some(key))
}

/// Whether a request repeats the first one with its key. Errors: 422 if its body differs.
pub fn require_same_body(first: &IdempotencyRecord, body_hash: [u8; 32]) -> Result<(), ApiError> {
    if first.body_hash == body_hash {
        Ok(())
    } else {
        Err(ApiError::KeyReused)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("idempotency-key"),
            HeaderValue::from_bytes(value).unwrap(),
        )])
    }

    #[test]
    fn idempotency_key_is_the_same_quoted_or_bare() {
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        assert_eq!(
            key(&headers(b"\"run-7\"")).unwrap(),
            key(&headers(b"run-7")).unwrap()
        );
        assert_eq!(key(&headers(b"\"a\\\"b\"")).unwrap().unwrap(), "a\"b");
        for bad in [&b""[..], b"\"\"", "schl\u{fc}ssel".as_bytes(), &[b'x'; 256]] {
            assert_eq!(key(&headers(bad)).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn idempotency_key_is_held_by_one_request() {
        let receiving = Arc::new(Receiving::default());
        let held = receiving.hold(SubscriptionId(1), "bulk", "k").unwrap();
        assert_eq!(
            receiving
                .hold(SubscriptionId(1), "bulk", "k")
                .unwrap_err()
                .status(),
            409
        );
        assert!(receiving.hold(SubscriptionId(1), "jobs", "k").is_ok());
        assert!(receiving.hold(SubscriptionId(2), "bulk", "k").is_ok());
        drop(held);
        assert!(receiving.hold(SubscriptionId(1), "bulk", "k").is_ok());
    }
}
