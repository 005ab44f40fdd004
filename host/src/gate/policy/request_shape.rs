//! The shape of an allowed request: its URL, its method and its header names.

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use url::Url;

/// Parses a URL and refuses parts that a request must not have.
pub fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("invalid URL: {e}"))?;
    if has_dot_segment(text) {
        return Err("the URL must not contain the path segment `.` or `..`".to_owned());
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the scheme `{}` is not http or https",
            url.scheme()
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the URL has no host".to_owned());
    }
    if has_userinfo(&url) {
        return Err("the URL must not contain a user or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL must not contain a fragment".to_owned());
    }
    Ok(url)
}

/// Whether the path, as written, has a segment that URL parsing removes (WHATWG URL, "double-dot
/// URL path segment"). With such a segment, an object's id in a path could lead to another
/// resource.
fn has_dot_segment(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    path.split(['/', '\\']).skip(1).any(|segment| {
        // URL parsing removes tabs and line ends.
        let plain = segment
            .replace(['\t', '\n', '\r'], "")
            .to_ascii_lowercase()
            .replace("%2e", ".");
        matches!(plain.as_str(), "." | "..")
    })
}

pub fn check_method(text: &str) -> Result<Method, String> {
    match text {
        "GET" => Ok(Method::GET),
        "HEAD" => Ok(Method::HEAD),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        "OPTIONS" => Ok(Method::OPTIONS),
        _ => Err(format!(
            "the method `{}` is not allowed",
            text.escape_debug()
        )),
    }
}

/// Headers that only the host sets: hop-by-hop headers (RFC 9110, 7.6.1) and headers that frame or
/// route a message.
const HOST_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "expect",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "http2-settings",
    "alt-used",
];

/// Checks a header's name. Values are checked after substitution.
pub fn check_header_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("`{}` is not a valid header name", text.escape_debug()))?;
    if HOST_HEADERS.contains(&name.as_str()) {
        return Err(format!("only the host may set the header `{name}`"));
    }
    Ok(name)
}

/// The bytes of a response's headers: names, values, and the separators of HTTP/1.1.
pub fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| line_bytes(name.as_str(), value.len()))
        .sum()
}

/// The bytes of one header line.
pub const fn line_bytes(name: &str, value_bytes: usize) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    name.len() + value_bytes + SEPARATORS
}

pub fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_methods_and_headers_are_checked() {
        for url in [
            "https://user@shop.example/",
            "https://:pw@shop.example/",
            "https://shop.example/#a",
            "file:///etc/passwd",
            "//shop.example",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
        for path in [
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a/.\t./b",
            "/a\\..\\b",
        ] {
            assert!(
                check_url(&format!("https://shop.example{path}")).is_err(),
                "{path}"
            );
        }
        for path in ["/a/...", "/a/..b", "/a?b=/../c", "/.well-known/x"] {
            assert!(
                check_url(&format!("https://shop.example{path}")).is_ok(),
                "{path}"
            );
        }
        for method in ["CONNECT", "TRACE", "get", "GET / HTTP/1.1\r\n"] {
            assert!(check_method(method).is_err(), "{method}");
        }
        for name in [
            "Host",
            "Content-Length",
            "connection",
            "Transfer-Encoding",
            "TE",
            "Upgrade",
            "Proxy-Authorization",
            "a b",
            "x\r\ny",
        ] {
            assert!(check_header_name(name).is_err(), "{name}");
        }
        assert!(check_header_name("Idempotency-Key").is_ok());
    }
}
