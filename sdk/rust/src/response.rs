//! Constructors and accessors of responses.

use serde::de::DeserializeOwned;

use crate::bindings::egression::connector::http::Header;
use crate::retry_after::parse_retry_after_ms;
use crate::{Payload, Problem, Response};

impl Response {
    /// A response with this status and text, for a part of a batch response or for tests.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Payload::Text(body.into()),
            truncated: false,
            duration: 0,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name. Case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_str())
    }

    /// The body, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.body {
            Payload::Text(text) => Some(text),
            Payload::Bytes(_) => None,
        }
    }

    /// The body, parsed.
    ///
    /// # Errors
    /// A problem `answer.truncated` or `answer.unreadable`. Neither tells whether a write was
    /// applied, so return `unknown` after a write, never `rejected`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if self.truncated {
            let problem = Problem::new(
                "answer.truncated",
                "the answer is longer than the size limit",
            );
            return Err(problem.status(self.status));
        }
        let parsed = match &self.body {
            Payload::Text(text) => serde_json::from_str(text),
            Payload::Bytes(bytes) => serde_json::from_slice(bytes),
        };
        parsed.map_err(|error| {
            Problem::new("answer.unreadable", error.to_string()).status(self.status)
        })
    }

    /// The wait in milliseconds that the destination asks for: `Retry-After-Ms`, or else
    /// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3). The wait until a date counts from
    /// the response's own `Date`.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let exact = self
            .header("retry-after-ms")
            .and_then(|value| value.trim().parse().ok());
        exact.or_else(|| parse_retry_after_ms(self.header("retry-after")?, self.header("date")))
    }
}
