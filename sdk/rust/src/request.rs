//! A builder for requests: `Request::put(url).json(&body).header("If-Match", "\"7\"")`.

use serde::Serialize;

use crate::Problem;
use crate::bindings::egression::connector::http::{
    Cost, Header, Request as WireRequest, RequestAuth,
};
use crate::{BodyPlaceholders, HttpError, Payload};

/// One HTTP request.
///
/// By default it has the connection's own credential and the host's default timeout and size limit.
/// `GET` and `HEAD` only read; other methods write.
#[derive(Clone, Debug)]
pub struct Request {
    wire: WireRequest,
    fault: Option<String>,
}

impl Request {
    /// A request with any method. `url` is absolute. The host replaces placeholders in its query
    /// values only.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let method = method.to_ascii_uppercase();
        let reads_only = matches!(method.as_str(), "GET" | "HEAD");
        Self {
            wire: WireRequest {
                method,
                url: url.into(),
                headers: Vec::new(),
                body: None,
                body_placeholders: BodyPlaceholders::None,
                reads_only,
                auth: RequestAuth::Connection,
                operation: None,
                costs: Vec::new(),
                timeout: None,
                max_response_bytes: None,
                attrs: Vec::new(),
            },
            fault: None,
        }
    }

    /// `GET`, which only reads.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `PUT`.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// `PATCH`.
    pub fn patch(url: impl Into<String>) -> Self {
        Self::new("PATCH", url)
    }

    /// `DELETE`.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header. The host replaces placeholders in the value.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.wire.headers.push(Header {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sets a JSON body and its content type. If the value cannot be serialized, nothing is sent
    /// and the request ends as [`HttpError::Denied`].
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_string(body) {
            Ok(text) => self.json_text(text),
            Err(error) => {
                self.fault = Some(format!("the body cannot be serialized as JSON: {error}"));
                self
            }
        }
    }

    /// Sets a body of JSON text and its content type.
    #[must_use]
    pub fn json_text(self, text: impl Into<String>) -> Self {
        self.text("application/json", text)
    }

    /// Sets a text body and its content type.
    #[must_use]
    pub fn text(mut self, content_type: &str, text: impl Into<String>) -> Self {
        self.wire.body = Some(Payload::Text(text.into()));
        self.header("content-type", content_type)
    }

    /// Sets a body of bytes and its content type.
    #[must_use]
    pub fn bytes(mut self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.wire.body = Some(Payload::Bytes(bytes.into()));
        self.header("content-type", content_type)
    }

    /// Replaces placeholders in the string values of the JSON body.
    #[must_use]
    pub fn placeholders_in_json(mut self) -> Self {
        self.wire.body_placeholders = BodyPlaceholders::Json;
        self
    }

    /// Replaces placeholders in the values of the form body.
    #[must_use]
    pub fn placeholders_in_form(mut self) -> Self {
        self.wire.body_placeholders = BodyPlaceholders::Form;
        self
    }

    /// Sends the request without the connection's own credential.
    #[must_use]
    pub fn auth_none(mut self) -> Self {
        self.wire.auth = RequestAuth::None;
        self
    }

    /// Declares that the request changes nothing at the destination, so that a lost answer is
    /// harmless.
    #[must_use]
    pub fn reads_only(mut self) -> Self {
        self.wire.reads_only = true;
        self
    }

    /// Sets the operation, for limits that cover only some operations.
    #[must_use]
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.wire.operation = Some(name.into());
        self
    }

    /// Sets a cost, for limits that count something other than requests (see
    /// [`Bucket::counts`](crate::Bucket)). A second value for the same name replaces the first. A
    /// missing cost counts as 1.
    #[must_use]
    pub fn cost(mut self, name: impl Into<String>, units: u32) -> Self {
        let name = name.into();
        self.wire.costs.retain(|cost| cost.name != name);
        self.wire.costs.push(Cost { name, units });
        self
    }

    /// Sets the timeout. The call's deadline always applies.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.wire.timeout = Some(timeout_ms);
        self
    }

    /// Cuts the body of the response after this many bytes.
    #[must_use]
    pub fn max_response_bytes(mut self, bytes: u64) -> Self {
        self.wire.max_response_bytes = Some(bytes);
        self
    }

    /// The method, in upper case.
    pub fn method(&self) -> &str {
        &self.wire.method
    }

    /// The absolute URL.
    pub fn url(&self) -> &str {
        &self.wire.url
    }

    /// The first header of this name. Case does not matter.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.wire
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_str())
    }

    /// The body, if it is text.
    pub fn body_text(&self) -> Option<&str> {
        match &self.wire.body {
            Some(Payload::Text(text)) => Some(text),
            Some(Payload::Bytes(_)) | None => None,
        }
    }

    /// Where placeholders are replaced in the body.
    pub fn body_placeholders(&self) -> BodyPlaceholders {
        self.wire.body_placeholders
    }

    /// Whether the host attaches the connection's own credential.
    pub fn uses_connection_auth(&self) -> bool {
        matches!(self.wire.auth, RequestAuth::Connection)
    }

    /// The cost with this name.
    pub fn cost_of(&self, name: &str) -> Option<u32> {
        self.wire
            .costs
            .iter()
            .find(|cost| cost.name == name)
            .map(|cost| cost.units)
    }

    /// Whether the request changes nothing at the destination.
    pub fn is_reads_only(&self) -> bool {
        self.wire.reads_only
    }

    /// All headers, in order. For the scripted channel.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn headers(&self) -> &[Header] {
        &self.wire.headers
    }

    /// The request in the contract's form, unless its body could not be serialized.
    pub(crate) fn wire(&self) -> Result<&WireRequest, HttpError> {
        match &self.fault {
            None => Ok(&self.wire),
            Some(fault) => Err(HttpError::Denied(fault.clone())),
        }
    }
}

/// Percent-encodes one segment of a URL's path (RFC 3986, 3.3), for ids that may contain a slash or
/// a space.
///
/// # Errors
/// The problem `id.unaddressable` for an empty text, `.` and `..`. No encoding preserves these as
/// segments (WHATWG URL, "double-dot URL path segment"), so the request would go to another
/// address.
pub fn path_segment(text: &str) -> Result<String, Problem> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if matches!(text, "" | "." | "..") {
        return Err(Problem::new(
            "id.unaddressable",
            format!("`{text}` cannot be a segment of a URL's path"),
        ));
    }
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push('%');
            segment.push(char::from(HEX[usize::from(byte >> 4)]));
            segment.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn request_has_what_the_builder_sets() {
        let request = Request::put("https://shop.test/v1/product/p1")
            .json(&serde_json::json!({"a": 1}))
            .header("If-Match", "\"7\"")
            .auth_none()
            .reads_only();
        assert_eq!(request.method(), "PUT");
        assert_eq!(request.body_text(), Some(r#"{"a":1}"#));
        assert_eq!(request.header_value("if-match"), Some("\"7\""));
        assert_eq!(
            request.header_value("Content-Type"),
            Some("application/json")
        );
        assert!(!request.uses_connection_auth());
        assert!(request.is_reads_only());
        assert!(request.wire().is_ok());
    }

    #[test]
    fn request_only_reads_for_get_and_head() {
        assert!(Request::get("https://a.test").is_reads_only());
        assert!(Request::new("head", "https://a.test").is_reads_only());
        assert!(!Request::post("https://a.test").is_reads_only());
        assert!(!Request::delete("https://a.test").is_reads_only());
    }

    #[test]
    fn path_segment_stays_one_segment() {
        for (text, segment) in [
            ("8086:1d2e", "8086:1d2e"),
            ("a/b c?d#e%", "a%2Fb%20c%3Fd%23e%25"),
            ("\u{fc}", "%C3%BC"),
            ("...", "..."),
        ] {
            assert_eq!(path_segment(text).as_deref(), Ok(segment));
        }
        for text in [".", "..", ""] {
            assert!(
                path_segment(text).is_err_and(|problem| problem.code == "id.unaddressable"),
                "{text}"
            );
        }
    }

    #[test]
    fn request_without_a_valid_body_is_not_sent() {
        let unwritable = BTreeMap::from([(vec![1_u8], 1)]);
        let request = Request::put("https://a.test").json(&unwritable);
        assert!(matches!(request.wire(), Err(HttpError::Denied(_))));
    }
}
