//! The request that a test expects, and its differences from the actual request.

use std::fmt::{Display, Formatter};

use serde_json::Value;

use crate::Request;

/// One expected request. Only the parts that the test sets are compared.
#[derive(Clone, Debug)]
pub struct Expected {
    method: String,
    url: String,
    headers: Vec<(String, Option<String>)>,
    json: Option<Value>,
    connection_auth: Option<bool>,
    reads_only: Option<bool>,
}

impl Expected {
    /// A request with this method and this whole URL.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            url: url.into(),
            headers: Vec::new(),
            json: None,
            connection_auth: None,
            reads_only: None,
        }
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `PUT`.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// A `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// A `DELETE`.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Requires this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Requires that there is no header of this name.
    #[must_use]
    pub fn no_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// Requires a body with the same JSON value.
    #[must_use]
    pub fn json(mut self, body: Value) -> Self {
        self.json = Some(body);
        self
    }

    /// Requires the connection's own credential.
    #[must_use]
    pub fn auth_connection(mut self) -> Self {
        self.connection_auth = Some(true);
        self
    }

    /// Requires that the connection's own credential is not used.
    #[must_use]
    pub fn auth_none(mut self) -> Self {
        self.connection_auth = Some(false);
        self
    }

    /// Requires that the request only reads.
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.reads_only = Some(true);
        self
    }

    /// All differences, one line each.
    pub(super) fn differences(&self, request: &Request) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, expected: String, got: String| {
            if expected != got {
                found.push(format!("{what}: expected {expected}, got {got}"));
            }
        };
        compare("method", self.method.clone(), request.method().to_owned());
        compare("url", self.url.clone(), request.url().to_owned());
        for (name, value) in &self.headers {
            let shown = |value: Option<&str>| value.map_or("none".to_owned(), str::to_owned);
            compare(
                name,
                shown(value.as_deref()),
                shown(request.header_value(name)),
            );
        }
        if let Some(json) = &self.json {
            let text = request.body_text().unwrap_or_default();
            let got = serde_json::from_str::<Value>(text)
                .map_or_else(|_| text.to_owned(), |value| value.to_string());
            compare("body", json.to_string(), got);
        }
        if let Some(expected) = self.connection_auth {
            let got = request.uses_connection_auth();
            compare("connection auth", expected.to_string(), got.to_string());
        }
        if let Some(expected) = self.reads_only {
            let got = request.is_reads_only();
            compare("reads only", expected.to_string(), got.to_string());
        }
        found
    }
}

impl Display for Expected {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

/// The text of a request in a failed test.
pub(super) fn shown(request: &Request) -> String {
    let mut text = format!("  {} {}", request.method(), request.url());
    for header in request.headers() {
        text.push_str(&format!("\n  {}: {}", header.name, header.value));
    }
    if let Some(body) = request.body_text() {
        text.push_str(&format!("\n  {body}"));
    }
    text
}
