//! Where an owner may send to, and what a request must look like.
//!
//! A grant fixes scheme, port and host. A pattern `*.suffix` needs a suffix of two labels or more
//! and does not cover the suffix itself.

use std::fmt;
use std::str::FromStr;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use url::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Port 80 by default.
    Http,
    /// Port 443 by default.
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host, or all hosts below a suffix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host only: a name in lower case, or an address as a URL writes it (`[::1]`).
    Exact(String),
    /// Every host that ends in this; it starts with a dot.
    Suffix(String),
}

impl HostPattern {
    /// Whether a host, as the `url` crate writes it, is covered.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

/// Where an owner may send to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    pub scheme: Scheme,
    pub host: HostPattern,
    /// The port, the scheme's own if none was named.
    pub port: u16,
}

/// A text is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a host to grant: {why}")]
pub struct GrantError {
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Grant {
    /// Whether a URL may be sent to.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        url.scheme() == self.scheme.as_str()
            && url.port_or_known_default() == Some(self.port)
            && url.host_str().is_some_and(|host| self.host.covers(host))
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    /// Reads `https://shop.example`, `https://*.shop.example:8443`, `http://[::1]:8080`.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let wrong = |why| GrantError {
            text: text.to_owned(),
            why,
        };
        let (plain, below) = match text.split_once("://*.") {
            Some((scheme, rest)) => (format!("{scheme}://{rest}"), true),
            None => (text.to_owned(), false),
        };
        let url = Url::parse(&plain)
            .map_err(|_| wrong("expected scheme://host or scheme://host:port"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong("the scheme must be http or https")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || has_userinfo(&url)
        {
            return Err(wrong("a grant has no path, query, fragment or user"));
        }
        let host = url.host_str().ok_or_else(|| wrong("the host is missing"))?;
        let host = match (below, url.domain()) {
            (false, _) => HostPattern::Exact(host.to_owned()),
            (true, Some(name)) if name.trim_matches('.').contains('.') => {
                HostPattern::Suffix(format!(".{name}"))
            }
            (true, _) => {
                return Err(wrong(
                    "what follows `*.` must be a name of two labels or more",
                ));
            }
        };
        Ok(Self {
            scheme,
            host,
            port: url.port().unwrap_or(scheme.port()),
        })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.host {
            HostPattern::Exact(host) => host.clone(),
            HostPattern::Suffix(suffix) => format!("*{suffix}"),
        };
        write!(f, "{}://{host}", self.scheme.as_str())?;
        if self.port == self.scheme.port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

/// Whether a credential that was entered for `bound` (a grant, or a host pattern alone) may go to a
/// URL.
#[must_use]
pub fn is_bound_to(bound: &[String], url: &Url) -> bool {
    bound.iter().any(|text| {
        if text.contains("://") {
            return text.parse::<Grant>().is_ok_and(|grant| grant.covers(url));
        }
        // A host alone says nothing of the scheme: the grant, which was checked before, does.
        text.parse::<HostPattern>()
            .is_ok_and(|pattern| url.host_str().is_some_and(|host| pattern.covers(host)))
    })
}

impl FromStr for HostPattern {
    type Err = GrantError;

    /// Reads a host without scheme: `shop.example`, `*.shop.example`, `[::1]`; a port is ignored.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        format!("https://{text}")
            .parse::<Grant>()
            .map(|grant| grant.host)
    }
}

/// Parses a URL and refuses what a request must not carry.
pub fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("the URL cannot be read: {e}"))?;
    if has_dot_segment(text) {
        return Err("a URL must not carry a segment `.` or `..`: it would name another folder than the one that is written".to_owned());
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the scheme `{}` is not http or https",
            url.scheme()
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the URL names no host".to_owned());
    }
    if has_userinfo(&url) {
        return Err("a URL must not carry a user or password".to_owned());
    }
    if url.fragment().is_some() {
        return Err("a URL must not carry a fragment".to_owned());
    }
    Ok(url)
}

/// Whether the path, as it is written, has a segment that is taken out when the URL is read (WHATWG
/// URL, 'double-dot URL path segment'). An object's id that was put into a path could so lead
/// somewhere else.
fn has_dot_segment(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    path.split(['/', '\\']).skip(1).any(|segment| {
        // Tabs and line ends are taken out when the URL is read.
        let plain = segment
            .replace(['\t', '\n', '\r'], "")
            .to_ascii_lowercase()
            .replace("%2e", ".");
        matches!(plain.as_str(), "." | "..")
    })
}

/// The methods that may be used.
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

/// Checks that a URL is granted.
pub fn check_grants(grants: &[Grant], url: &Url) -> Result<(), String> {
    if grants.iter().any(|grant| grant.covers(url)) {
        return Ok(());
    }
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    Err(format!(
        "{}://{}{port} is not granted",
        url.scheme(),
        url.host_str().unwrap_or_default()
    ))
}

/// Headers that belong to the host: those of one hop (RFC 9110, 7.6.1) and those that frame or
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

/// Checks a header's name. Values are checked when they are final.
pub fn check_header_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("`{}` is no header name", text.escape_debug()))?;
    if HOST_HEADERS.contains(&name.as_str()) {
        return Err(format!("the header `{name}` belongs to the host"));
    }
    Ok(name)
}

/// The bytes that an answer's headers take: names, values, and the separators of HTTP/1.1.
pub fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| line_bytes(name.as_str(), value.len()))
        .sum()
}

/// The bytes that one header takes.
pub const fn line_bytes(name: &str, value_bytes: usize) -> usize {
    const SEPARATORS: usize = ": \r\n".len();
    name.len() + value_bytes + SEPARATORS
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn covers(grant: &str, url: &str) -> bool {
        grant
            .parse::<Grant>()
            .unwrap()
            .covers(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_grant_fixes_scheme_host_and_port() {
        assert!(covers(
            "https://shop.example",
            "https://shop.example/orders?x=1"
        ));
        assert!(covers("https://shop.example", "https://SHOP.example:443/"));
        assert!(!covers("https://shop.example", "http://shop.example/"));
        assert!(!covers(
            "https://shop.example",
            "https://shop.example:8443/"
        ));
        assert!(!covers(
            "https://shop.example",
            "https://shop.example.evil.example/"
        ));
        assert!(!covers("https://shop.example", "https://shop.example./"));
        assert!(covers(
            "http://[::1]:8080",
            "http://[0:0:0:0:0:0:0:1]:8080/"
        ));
    }

    #[test]
    fn a_suffix_covers_what_is_below_it_and_not_itself() {
        assert!(covers(
            "https://*.shop.example:8443",
            "https://a.b.shop.example:8443/"
        ));
        assert!(!covers("https://*.shop.example", "https://shop.example/"));
        assert!(!covers("https://*.shop.example", "https://myshop.example/"));
        for text in [
            "https://*.example",
            "https://*.",
            "https://*.10.0.0.1",
            "ftp://shop.example",
            "https://a@shop.example",
            "https://shop.example/x",
            "shop.example",
        ] {
            assert!(text.parse::<Grant>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_grant_is_written_as_it_is_read() {
        for text in [
            "https://shop.example",
            "https://*.shop.example:8443",
            "http://[::1]:8080",
        ] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_credential_is_bound_by_grant_or_by_host() {
        let url = Url::parse("https://api.shop.example:8443/x").unwrap();
        for bound in [
            "api.shop.example",
            "*.shop.example",
            "https://api.shop.example:8443",
        ] {
            assert!(is_bound_to(&[bound.to_owned()], &url), "{bound}");
        }
        for bound in [
            "shop.example",
            "https://api.shop.example",
            "http://api.shop.example:8443",
            "*.example",
            "",
        ] {
            assert!(!is_bound_to(&[bound.to_owned()], &url), "{bound}");
        }
        assert!(!is_bound_to(&[], &url));
    }

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
