//! The client of a host's REST contract: requests and readable errors.
//!
//! It never retries; only a command knows whether a retry is safe.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use http::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::exit::Exit;
use super::output::printable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a response, in addition to the requested wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The file in the data directory with the admin key that the first start created.
const ADMIN_KEY_FILE: &str = "admin.key";
/// The longest excerpt of an error body that is not a problem document.
const MAX_SHOWN: usize = 500;

/// A client of one host.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
}

pub(super) struct Request {
    builder: reqwest::RequestBuilder,
    url: Url,
}

/// A 2xx or 304 response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Null if the body is empty.
    pub(super) body: Value,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("cannot reach the host at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("unexpected response from {url}: {reason}")]
    Unexpected { url: String, reason: String },
    #[error("{0}")]
    Key(String),
}

/// An error response of the host (RFC 9457).
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    problem: Option<Problem>,
    text: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: Option<String>,
    code: Option<String>,
    errors: Vec<Place>,
    errors_omitted: u64,
    trace_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    pointer: String,
    code: String,
    detail: String,
}

impl ClientError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused(refusal) if refusal.status.is_client_error() => Exit::Refused,
            Self::Refused(_) | Self::Unexpected { .. } => Exit::Failed,
            Self::Key(_) => Exit::Usage,
        }
    }

    /// The same request may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status.as_u16(), 429 | 502 | 503 | 504),
            Self::Unexpected { .. } | Self::Key(_) => false,
        }
    }
}

impl Client {
    /// A client of the host at `base`. Without a key, it uses the one in the data directory if the
    /// host is on this machine.
    pub(super) fn new(
        base: Url,
        key: Option<SecretString>,
        data_dir: &Path,
    ) -> Result<Self, ClientError> {
        let is_local = is_local(&base);
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("egression/", env!("CARGO_PKG_VERSION")));
        // A proxy cannot reach this machine's loopback addresses.
        let builder = if is_local {
            builder.no_proxy()
        } else {
            builder
        };
        let unexpected = |error: reqwest::Error| ClientError::Unexpected {
            url: base.to_string(),
            reason: error.to_string(),
        };
        let http = builder
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(unexpected)?;
        let key = match key {
            Some(key) => Some(key),
            None if is_local => local_key(data_dir)?,
            None => None,
        };
        Ok(Self { http, base, key })
    }

    /// A request. The segments of the path are encoded here.
    pub(super) fn request(
        &self,
        method: Method,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Request {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.request_to(method, url)
    }

    /// The body of a GET.
    pub(super) async fn get(&self, segments: &[&str]) -> Result<Value, ClientError> {
        Ok(self.request(Method::GET, segments, &[]).send().await?.body)
    }

    /// Up to `limit` items of a list, from as many pages as needed.
    pub(super) async fn list(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
        limit: usize,
    ) -> Result<Vec<Value>, ClientError> {
        let mut items = Vec::new();
        let mut request = self.request(Method::GET, segments, query);
        loop {
            let mut page = request.send().await?.body;
            items.extend(
                page.get_mut("items")
                    .and_then(Value::as_array_mut)
                    .map(std::mem::take)
                    .unwrap_or_default(),
            );
            let next = page
                .get("next")
                .and_then(Value::as_str)
                .and_then(|next| self.following(next));
            let Some(next) = next.filter(|_| items.len() < limit) else {
                break;
            };
            request = self.request_to(Method::GET, next);
        }
        items.truncate(limit);
        Ok(items)
    }

    /// Resolves a link of the host, which does not know the path prefix of a proxy.
    fn following(&self, link: &str) -> Option<Url> {
        let mut url = self.base.join(link).ok()?;
        let prefix = self.base.path().trim_end_matches('/');
        if !url
            .path()
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            url.set_path(&format!("{prefix}{}", url.path()));
        }
        // The key is sent to this host only.
        (url.origin() == self.base.origin()).then_some(url)
    }

    fn request_to(&self, method: Method, url: Url) -> Request {
        let builder = self
            .http
            .request(method, url.clone())
            .timeout(ANSWER_TIMEOUT);
        let builder = match &self.key {
            Some(key) => builder.bearer_auth(key.expose_secret()),
            None => builder,
        };
        Request { builder, url }
    }
}

impl Request {
    pub(super) fn header(self, name: &str, value: &str) -> Self {
        Self {
            builder: self.builder.header(name, value),
            ..self
        }
    }

    pub(super) fn json(self, body: &Value) -> Self {
        Self {
            builder: self.builder.json(body),
            ..self
        }
    }

    pub(super) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self {
            builder: self.builder.body(body),
            ..self
        }
    }

    pub(super) fn timeout(self, timeout: Duration) -> Self {
        Self {
            builder: self.builder.timeout(timeout),
            ..self
        }
    }

    /// Makes the host respond when the state changes, or after `seconds` (RFC 7240).
    pub(super) fn when_changed(self, etag: Option<&str>, seconds: u64) -> Self {
        let Some(etag) = etag else { return self };
        let request = self
            .header(IF_NONE_MATCH.as_str(), etag)
            .header("prefer", &format!("wait={seconds}"));
        request.timeout(ANSWER_TIMEOUT + Duration::from_secs(seconds))
    }

    pub(super) async fn send(self) -> Result<Answer, ClientError> {
        let Self { builder, url } = self;
        let shown = || url.origin().ascii_serialization();
        let failed = |error: reqwest::Error| {
            if error.is_builder() {
                ClientError::Unexpected {
                    url: shown(),
                    reason: innermost(&error),
                }
            } else {
                ClientError::Unreachable {
                    url: shown(),
                    reason: innermost(&error),
                }
            }
        };
        let response = builder.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(failed)?;
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            let unexpected = |error: serde_json::Error| ClientError::Unexpected {
                url: shown(),
                reason: format!("{status} with {error}"),
            };
            let body = if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes).map_err(unexpected)?
            };
            return Ok(Answer {
                status,
                headers,
                body,
            });
        }
        if status.is_redirection() {
            return Err(ClientError::Unexpected {
                url: shown(),
                reason: format!("redirect ({status})"),
            });
        }
        let problem = serde_json::from_slice(&bytes).ok();
        let text = String::from_utf8_lossy(&bytes)
            .chars()
            .take(MAX_SHOWN)
            .collect();
        Err(ClientError::Refused(Box::new(Refusal {
            status,
            problem,
            text,
        })))
    }
}

impl Answer {
    pub(super) fn etag(&self) -> Option<&str> {
        self.headers.get(ETAG).and_then(|value| value.to_str().ok())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        let Some(problem) = &self.problem else {
            return write!(f, ": {}", printable(self.text.trim()));
        };
        let detail = problem.detail.as_deref().unwrap_or(&problem.title);
        write!(f, ": {}", printable(detail))?;
        if let Some(code) = &problem.code {
            write!(f, " ({})", printable(code))?;
        }
        for Place {
            pointer,
            code,
            detail,
        } in &problem.errors
        {
            write!(f, "\n  {}: {}", printable(pointer), printable(detail))?;
            if !code.is_empty() {
                write!(f, " ({})", printable(code))?;
            }
        }
        if problem.errors_omitted > 0 {
            write!(f, "\n  and {} more", problem.errors_omitted)?;
        }
        if self.status == StatusCode::UNAUTHORIZED {
            write!(
                f,
                "\n  pass a key with --key or EGRESSION_KEY, or the data directory of a local host \
                 with --data-dir"
            )?;
        }
        match problem
            .trace_id
            .as_deref()
            .filter(|_| self.status.is_server_error())
        {
            Some(trace) => write!(f, "\n  trace id {trace}"),
            None => Ok(()),
        }
    }
}

/// Whether a URL leads to this machine. The key of the data directory is valid only there.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn local_key(data_dir: &Path) -> Result<Option<SecretString>, ClientError> {
    let path = data_dir.join(ADMIN_KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(SecretString::from(text.trim()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClientError::Key(format!("{}: {error}", path.display()))),
    }
}

/// The innermost cause: reqwest's own texts repeat the URL and hide it.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn local_key_stays_on_this_machine() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(ADMIN_KEY_FILE), "egk_local\n").unwrap();
        let key = |url: &str| {
            Client::new(url.parse().unwrap(), None, directory.path())
                .unwrap()
                .key
                .map(|key| key.expose_secret().to_owned())
        };
        assert_eq!(key("http://127.0.0.1:8080").as_deref(), Some("egk_local"));
        assert_eq!(key("http://localhost").as_deref(), Some("egk_local"));
        assert_eq!(key("http://[::1]:1").as_deref(), Some("egk_local"));
        assert_eq!(key("https://hub.example"), None);
        assert_eq!(key("https://127.0.0.1.hub.example"), None);
    }

    #[test]
    fn path_is_encoded_and_joined() {
        let client = Client::new(
            "http://127.0.0.1:1/hub/".parse().unwrap(),
            None,
            Path::new("nowhere"),
        )
        .unwrap();
        let url = client
            .request(
                Method::GET,
                &["v1", "executions", "exe_1:cancel"],
                &[("a b", "c&d")],
            )
            .url;
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:1/hub/v1/executions/exe_1:cancel?a+b=c%26d"
        );
        let url = client
            .request(Method::GET, &["v1", "jobs", "../x/y"], &[])
            .url;
        assert_eq!(url.path(), "/hub/v1/jobs/..%2Fx%2Fy");
        let next = |link: &str| client.following(link).map(String::from);
        assert_eq!(
            next("/v1/objects?id=a%2Fb&cursor=x").as_deref(),
            Some("http://127.0.0.1:1/hub/v1/objects?id=a%2Fb&cursor=x")
        );
        assert_eq!(
            next("http://127.0.0.1:1/hub/v1/keys?cursor=x").as_deref(),
            Some("http://127.0.0.1:1/hub/v1/keys?cursor=x")
        );
        assert_eq!(next("http://elsewhere.example/v1/keys"), None);
    }

    #[test]
    fn refusal_is_readable() {
        let problem = r#"{"title":"Bad request","detail":"2 jobs are invalid",
            "code":"invalid_request","errors":[{"pointer":"/jobs/0/action",
            "code":"invalid_value","detail":"`fly` is not an action"}],"errors_omitted":3,
            "trace_id":"4bf9"}"#;
        let shown = |status: StatusCode, text: &str| {
            Refusal {
                status,
                problem: serde_json::from_str(text).ok(),
                text: text.to_owned(),
            }
            .to_string()
        };
        insta::assert_snapshot!(
            "refusal_with_places",
            shown(StatusCode::BAD_REQUEST, problem)
        );
        insta::assert_snapshot!(
            "refusal_of_a_key",
            shown(
                StatusCode::UNAUTHORIZED,
                r#"{"title":"No key","code":"key.missing"}"#
            )
        );
        insta::assert_snapshot!(
            "refusal_by_server_error",
            shown(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"title":"Full","detail":"the backlog is full","trace_id":"4bf9"}"#
            )
        );
        insta::assert_snapshot!(
            "refusal_in_plain_text",
            shown(StatusCode::BAD_GATEWAY, "<html>oops</html>\n")
        );
    }
}
