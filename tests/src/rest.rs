//! Requests to a server of ours, with every unexpected answer told in full.

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// An HTTP client of one server.
#[derive(Clone, Debug)]
pub struct Rest {
    base: String,
    key: Option<String>,
    client: Client,
}

impl Rest {
    /// Talks to the server at `http://host:port`, with the API key if there is one.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(base: impl Into<String>, key: Option<String>) -> Result<Self> {
        // A repeat of its own would be a second request in the logs that the tests read.
        let client = Client::builder().no_proxy().retry(reqwest::retry::never()).build()?;
        Ok(Self { base: base.into(), key, client })
    }

    /// The server's address as a URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to a path, or to a URL as a link of an answer has it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The server is away, answers anything but 2xx, or something of another shape.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let text = self.get_text(path).await?;
        serde_json::from_str(&text).with_context(|| format!("GET {path} answered {text:.300}"))
    }

    /// Reads NDJSON to the end.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_lines<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let text = self.get_text(path).await?;
        let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("GET {path} has the line {line:.300}"));
        text.lines().map(parse).collect()
    }

    async fn get_text(&self, path: &str) -> Result<String> {
        let answer = self.request(Method::GET, path).send().await.with_context(|| format!("GET {path}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("GET {path} answered {status}: {text:.1000}");
        }
        Ok(text)
    }

    /// The status of a `GET`, none if the server is away.
    pub async fn get_status(&self, path: &str) -> Option<u16> {
        let answer = self.request(Method::GET, path).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Posts JSON; gives back the status and the answer, `null` if it is no JSON.
    ///
    /// # Errors
    /// The server is away.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let answer = self.request(Method::POST, path).json(body).send().await.with_context(|| format!("POST {path}"))?;
        let status = answer.status();
        Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null)))
    }
}
