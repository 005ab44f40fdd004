//! Requests to a server of ours, with every unexpected answer told in full.

use anyhow::{Context, Result, bail};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
    /// The body as JSON, `null` if it is none.
    pub json: Value,
}

impl Answer {
    /// A header field, empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The stable code of a problem, empty if it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Insists on a status.
    ///
    /// # Errors
    /// It is another one; the message has the answer.
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
    /// Talks to the server at `http://host:port`, with the API key if there is one.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(base: impl Into<String>, key: Option<String>) -> Result<Self> {
        // A repeat of its own would be a second request in the logs that the tests read.
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

    /// The same server with another key, or none.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The key, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// The server is away or the answer breaks off.
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

    /// The server's address as a URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to a path, or to a URL as a link of an answer has it.
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
        let parse = |line: &str| {
            serde_json::from_str(line)
                .with_context(|| format!("GET {path} has the line {line:.300}"))
        };
        text.lines().map(parse).collect()
    }

    /// The host's metrics, as text.
    ///
    /// # Errors
    /// No success.
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
