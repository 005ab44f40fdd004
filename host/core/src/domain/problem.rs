//! Problems, for the people who read a job's history.

use serde::{Deserialize, Serialize};

/// A problem of one job. Never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable and machine-readable: `price.missing`, `source.not_found`.
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// The JSON pointer (RFC 6901) to the problem in the body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pointer: Option<String>,
    /// The HTTP status of the destination's answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub destination_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub link: Option<String>,
}

impl Problem {
    /// A problem with a code and a sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            pointer: None,
            http_status: None,
            destination_code: None,
            link: None,
        }
    }

    /// The same with the place in the body.
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The same with the destination's status.
    pub const fn status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }
}
