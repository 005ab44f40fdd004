//! Builders for problems.

use crate::{Attr, Problem, Response};

impl Problem {
    /// A problem with a stable code in the connector's words (`price.missing`) and one sentence for
    /// a person, without secrets.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            pointer: None,
            http_status: None,
            destination_code: None,
            link: None,
            attrs: Vec::new(),
        }
    }

    /// This channel does not take this object at all. For the outcome `rejected`.
    pub fn not_applicable(message: impl Into<String>) -> Self {
        Self::new("not_applicable", message)
    }

    /// The problem of an answer that has no more information than its status: the code
    /// `http.STATUS`, and the start of the body.
    pub fn from_response(response: &Response) -> Self {
        const SHOWN_CHARS: usize = 200;
        let status = response.status;
        let shown: String = response
            .text()
            .unwrap_or_default()
            .chars()
            .take(SHOWN_CHARS)
            .collect();
        let message = if shown.trim().is_empty() {
            format!("the destination answered {status}")
        } else {
            format!("the destination answered {status}: {}", shown.trim())
        };
        Self::new(format!("http.{status}"), message).status(status)
    }

    /// Sets the JSON pointer (RFC 6901) of the invalid part of the body.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Sets the HTTP status of the destination's answer.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }

    /// Sets the destination's own error code.
    #[must_use]
    pub fn destination_code(mut self, code: impl Into<String>) -> Self {
        self.destination_code = Some(code.into());
        self
    }

    /// Sets a page with more information.
    #[must_use]
    pub fn link(mut self, url: impl Into<String>) -> Self {
        self.link = Some(url.into());
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attr(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push(Attr::new(key, value));
        self
    }
}
