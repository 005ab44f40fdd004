//! The replies of a scripted destination.

use serde_json::Value;

use crate::{HttpError, Response};

/// One response, or an error.
#[derive(Clone, Debug)]
pub struct Reply(Result<Response, HttpError>);

impl Reply {
    /// An empty response.
    pub fn status(status: u16) -> Self {
        Self(Ok(Response::new(status, "")))
    }

    /// A JSON response.
    pub fn json(status: u16, body: &Value) -> Self {
        let response = Response::new(status, body.to_string());
        Self(Ok(response.with_header("content-type", "application/json")))
    }

    /// Adds a header. Has no effect on an error.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.map(|response| response.with_header(name, value)))
    }

    /// The request left the host, but no answer came back.
    pub fn lost() -> Self {
        Self(Err(HttpError::SentWithoutAnswer(
            "connection closed before the answer".to_owned(),
        )))
    }

    /// Nothing was sent, because the destination was unreachable.
    pub fn never_sent() -> Self {
        Self(Err(HttpError::NeverSent("connection refused".to_owned())))
    }

    /// Nothing was sent, because a limit is closed until this time (milliseconds since the Unix
    /// epoch).
    pub fn limited(until_ms: u64) -> Self {
        Self(Err(HttpError::Limited(until_ms)))
    }

    /// Nothing was sent, because the host does not allow it.
    pub fn denied() -> Self {
        Self(Err(HttpError::Denied("host not granted".to_owned())))
    }

    pub(super) fn into_result(self) -> Result<Response, HttpError> {
        self.0
    }
}
