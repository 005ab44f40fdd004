//! An HTTP client for the servers of a test. Its errors quote the unexpected answer.

use anyhow::{Context, Result, bail};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// The body as JSON; `null` if it is not JSON.
    pub json: Value,
}

impl Answer {
    /// A header field; empty if missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The code of a problem document; empty for other answers.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Expects a status.
    ///
    /// # Errors
    /// The status differs; the message has the answer.
    pub fn expect(self, status: u16) -> Result<Self> {
        if self.status != status {
            bail!(
                "answered {} instead of {status}: {:.2000}",
                self.status,
                self.text
            );
        }
        Ok(self)
    }
}

/// An HTTP client of one server.
#[derive(Clone, Debug)]
pub struct Rest {
    base: String,
    key: Option<String>,
    client: Client,
}

impl Rest {
    /// A client of the server at `http://host:port`, with an optional API key.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(base: impl Into<String>, key: Option<String>) -> Result<Self> {
        // A retry by the client would appear as a second request in the logs that the tests read.
        let client = Client::builder()
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self {
            base: base.into(),
            key,
            client,
        })
    }

    /// A client of the same server with another key, or without one.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Sends a request and reads the whole answer, with any status.
    ///
    /// # Errors
    /// The server does not answer completely.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            text,
            json,
        })
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to a path, or to a URL from a link.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// The server does not answer, the status is not 2xx, or the body has another type.
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
        let parse = |line: &str| {
            serde_json::from_str(line)
                .with_context(|| format!("GET {path} has the line {line:.300}"))
        };
        text.lines().map(parse).collect()
    }

    /// The host's metrics, as text.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn metrics(&self) -> Result<String> {
        self.get_text("/metrics").await
    }

    async fn get_text(&self, path: &str) -> Result<String> {
        let answer = self
            .request(Method::GET, path)
            .send()
            .await
            .with_context(|| format!("GET {path}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("GET {path} answered {status}: {text:.1000}");
        }
        Ok(text)
    }

    /// The status of a `GET`; none if the server does not answer.
    pub async fn get_status(&self, path: &str) -> Option<u16> {
        let answer = self.request(Method::GET, path).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Posts JSON and returns the status and the JSON answer; `null` if it is not JSON.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let answer = self
            .request(Method::POST, path)
            .json(body)
            .send()
            .await
            .with_context(|| format!("POST {path}"))?;
        let status = answer.status();
        Ok((
            status,
            serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null),
        ))
    }
}
