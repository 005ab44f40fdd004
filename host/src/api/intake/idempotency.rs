//! `Idempotency-Key`: the same key and body give the same execution, however often the request is
//! repeated.
//!
//! The durable mark is written by the store in the transaction that seals the jobs; this knows what
//! is being received at the moment and compares bodies. Scope: subscription and operation.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use egression_core::domain::ids::SubscriptionId;
use http::HeaderMap;

use crate::api::http::problem::{ApiError, FieldError};

/// The longest key in bytes.
pub const MAX_KEY_BYTES: usize = 255;

type Scope = (SubscriptionId, &'static str, String);

/// Keys whose first request is still being received.
#[derive(Debug, Default)]
pub struct Receiving(Mutex<HashSet<Scope>>);

/// Holds a key until the request is through, whatever its end.
#[derive(Debug)]
pub struct Held {
    receiving: Arc<Receiving>,
    scope: Scope,
}

impl Receiving {
    /// Takes a key.
    ///
    /// # Errors
    /// 409 while another request holds it.
    pub fn hold(
        self: &Arc<Self>,
        subscription: SubscriptionId,
        operation: &'static str,
        key: &str,
    ) -> Result<Held, ApiError> {
        let scope = (subscription, operation, key.to_owned());
        let inserted = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(scope.clone());
        if inserted {
            return Ok(Held {
                receiving: Arc::clone(self),
                scope,
            });
        }
        Err(ApiError::Conflict {
            code: "request_in_progress",
            detail: "the first request with this Idempotency-Key is still being received; repeat it later".to_owned(),
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.receiving
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.scope);
    }
}

/// The key of a request, written bare or as a quoted string (RFC 9651, section 3.3.3).
///
/// # Errors
/// 400 when it is empty, too long, or has characters that are not visible ASCII.
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
            "expected 1 to {MAX_KEY_BYTES} characters of visible ASCII, bare or in double quotes"
        );
        return Err(ApiError::invalid(vec![FieldError::new(
            "#idempotency-key",
            "invalid_value",
            detail,
        )]));
    }
    Ok(Some(key))
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
    fn quoted_and_bare_keys_are_the_same() {
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
    fn a_key_is_held_once_and_given_back() {
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
