//! How a scripted destination answers.

use serde_json::Value;

use crate::{HttpError, Response};

/// One answer, or the lack of one.
#[derive(Clone, Debug)]
pub struct Reply(Result<Response, HttpError>);

impl Reply {
    /// An empty answer.
    pub fn status(status: u16) -> Self {
        Self(Ok(Response::new(status, "")))
    }

    /// A JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        let response = Response::new(status, body.to_string());
        Self(Ok(response.with_header("content-type", "application/json")))
    }

    /// With one more header. Without effect where there is no answer.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.map(|response| response.with_header(name, value)))
    }

    /// It left, and no answer came back.
    pub fn lost() -> Self {
        Self(Err(HttpError::SentWithoutAnswer(
            "connection closed before the answer".to_owned(),
        )))
    }

    /// Nothing was sent: the destination could not be reached.
    pub fn never_sent() -> Self {
        Self(Err(HttpError::NeverSent("connection refused".to_owned())))
    }

    /// Nothing was sent: a limit is closed until then, in milliseconds since the Unix epoch.
    pub fn limited(until_ms: u64) -> Self {
        Self(Err(HttpError::Limited(until_ms)))
    }

    /// Nothing was sent: the host does not allow it.
    pub fn denied() -> Self {
        Self(Err(HttpError::Denied("host not granted".to_owned())))
    }

    pub(super) fn into_result(self) -> Result<Response, HttpError> {
        self.0
    }
}
