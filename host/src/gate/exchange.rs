//! One request and its result, as the gate, the connectors and the resolver exchange them.

use bytes::Bytes;
use egression_core::time::Wall;

use crate::gate::policy::cost::Cost;

/// A request to send.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    pub method: String,
    /// Absolute. Secrets replace placeholders in query values.
    pub url: String,
    /// Secrets replace placeholders in values.
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    /// Where secrets replace placeholders in the body.
    pub body_placeholders: BodyPlaceholders,
    pub reads_only: bool,
    /// Whether the owner's credential is attached.
    pub auth: RequestAuth,
    /// The operation, for limits that cover only some.
    pub operation: Option<String>,
    /// Its costs, for limits that count something other than requests.
    pub costs: Vec<Cost>,
    /// `None`: the default. Never past the call's deadline.
    pub timeout_ms: Option<u64>,
    /// `None`: the default.
    pub max_response_bytes: Option<u64>,
}

/// Where secrets replace placeholders in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyPlaceholders {
    #[default]
    None,
    /// In the string values of a JSON body.
    Json,
    /// In the values of a form body.
    Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestAuth {
    /// The owner's credential, as its auth document defines it.
    #[default]
    Connection,
    None,
}

/// A whole response, redacted.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// At most as many bytes as requested.
    pub body: Bytes,
    pub truncated: bool,
    /// From the first byte out to the last byte in.
    pub duration_ms: u64,
}

impl Response {
    /// The response without its body if it does not fit into the remaining bytes.
    pub(super) fn within(mut self, left: &mut u64) -> Self {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let after = left.saturating_sub(headers as u64);
        match after.checked_sub(self.body.len() as u64) {
            Some(rest) => *left = rest,
            None => (*left, self.body, self.truncated) = (after, Bytes::new(), true),
        }
        self
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Not allowed; nothing was sent.
    #[error("denied: {0}")]
    Denied(String),
    /// It costs more than a limit ever admits at once; nothing was sent.
    #[error("denied: {0}")]
    TooCostly(String),
    /// A limit has no room within the deadline, or is closed; nothing was sent.
    #[error("limited until {}", until.to_rfc3339())]
    Limited { until: Wall, key: String },
    #[error("never sent: {0}")]
    NeverSent(String),
    /// The host could not record the use of a limit, so nothing was sent.
    #[error("never sent: the use of a limit could not be stored: {why}")]
    Unrecorded { until: Wall, why: String },
    /// It left, and no complete response came.
    #[error("sent without an answer: {0}")]
    SentWithoutAnswer(String),
    /// The owner's credential is missing or refused, so the host has no token.
    #[error("credential refused: {0}")]
    CredentialRefused(String),
}

impl SendError {
    /// The word in a job's history and in the metrics.
    pub fn label(&self) -> &'static str {
        ExchangeEnd::from(self).stage()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// A complete response came, whatever its status.
    Answered,
    /// It left, and no complete response came.
    Unanswered,
    /// Not allowed; nothing was sent.
    Denied,
    /// Not allowed, because it costs more than a limit ever admits at once; nothing was sent.
    TooCostly,
    /// A limit had no room within the deadline, or is closed; nothing was sent.
    Limited,
    /// Nothing was sent: no address, no connection, or no time.
    NeverSent,
    /// The host could not record the use of a limit, so nothing was sent.
    Unrecorded,
    /// The host has no token, so nothing was sent.
    CredentialRefused,
}

impl From<&SendError> for ExchangeEnd {
    fn from(error: &SendError) -> Self {
        match error {
            SendError::Denied(_) => Self::Denied,
            SendError::TooCostly(_) => Self::TooCostly,
            SendError::Limited { .. } => Self::Limited,
            SendError::NeverSent(_) => Self::NeverSent,
            SendError::Unrecorded { .. } => Self::Unrecorded,
            SendError::SentWithoutAnswer(_) => Self::Unanswered,
            SendError::CredentialRefused(_) => Self::CredentialRefused,
        }
    }
}

impl ExchangeEnd {
    /// The word in a job's history.
    pub const fn stage(self) -> &'static str {
        match self {
            Self::Answered => "responded",
            Self::Unanswered => "no_answer",
            Self::Denied | Self::TooCostly => "denied",
            Self::Limited => "limited",
            Self::NeverSent => "never_sent",
            Self::Unrecorded => "unrecorded",
            Self::CredentialRefused => "credential_refused",
        }
    }

    /// The destination, its name or its credential failed. Refusals by the host do not count.
    pub const fn blames_destination(self) -> bool {
        matches!(
            self,
            Self::Unanswered | Self::NeverSent | Self::CredentialRefused
        )
    }
}

/// One redacted exchange in a job's history.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the first byte left, or when the request was refused.
    pub at: Wall,
    pub method: String,
    pub url: String,
    pub end: ExchangeEnd,
    pub status: Option<u16>,
    /// From the first byte out to the last byte in.
    pub duration_ms: u64,
    /// Why there is no response.
    pub error: Option<String>,
    /// It may have changed something at the destination.
    pub write: bool,
    /// The value of its header `Idempotency-Key`. If a connector sends one per item, it identifies
    /// the item.
    pub idempotency_key: Option<String>,
}
