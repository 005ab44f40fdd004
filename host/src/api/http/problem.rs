//! Every error of the API: its status, its stable code, and its problem document (RFC 9457).
//!
//! The core's `Problem` describes what went wrong with a job; that is not an error of the API.

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::middleware::trace;
use crate::store::StoreError;
use crate::store::documents::DocumentError;

/// Errors that one problem lists at most; `errors_omitted` counts the rest.
pub const MAX_LISTED_ERRORS: usize = 100;

/// An error at one place of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, for example `/jobs/17/action`. `?name` is a query
    /// parameter, `#name` a header.
    #[schema(example = "/jobs/17/action")]
    pub pointer: String,
    /// Stable and machine-readable.
    #[schema(example = "invalid_value")]
    pub code: String,
    /// What is wrong and what was expected.
    pub detail: String,
}

impl FieldError {
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            code: code.into(),
            detail: detail.into(),
        }
    }

    /// The same place seen from its container: `/action` inside `/jobs/17`.
    pub fn under(mut self, prefix: &str) -> Self {
        if !self.pointer.starts_with(['?', '#']) {
            self.pointer.insert_str(0, prefix);
        }
        self
    }
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProblemDocument {
    /// Identifies the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:egression:problem:invalid_request")]
    pub kind: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// What went wrong with this request.
    pub detail: String,
    /// Stable and machine-readable.
    #[schema(example = "invalid_request")]
    pub code: String,
    /// The errors by place.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// Errors that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors_omitted: u64,
    /// Identifies the request in the host's log (W3C Trace Context).
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: String,
}

/// What a handler answers.
pub type ApiResult = Result<Response, ApiError>;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Wrong syntax, unknown fields or wrong types.
    #[error("{0}")]
    Malformed(FieldErrorText),
    #[error("{detail}")]
    Invalid {
        detail: String,
        errors: Vec<FieldError>,
        /// Errors beyond those listed.
        omitted: u64,
    },
    /// Some items are invalid, and the client asked for `handling=strict`.
    #[error("{refused} items are invalid; nothing was stored because of `handling=strict`")]
    ItemsRefused {
        refused: u64,
        /// The first errors.
        errors: Vec<FieldError>,
    },
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The key's role or subscription does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// It does not exist, or it belongs to another tenant.
    #[error("{0}")]
    NotFound(String),
    #[error("{0} is not allowed here")]
    MethodNotAllowed(http::Method),
    #[error("the body did not arrive within {0} ms (bound `api.body_timeout_ms`)")]
    BodyTimeout(u64),
    #[error("the body is incomplete: {0}; nothing was stored")]
    CutOff(String),
    /// It existed once.
    #[error("{0}")]
    Gone(String),
    #[error("{detail}")]
    Conflict { code: &'static str, detail: String },
    /// A document cannot be deleted until its jobs in flight end.
    #[error("{name}: {jobs} jobs are in flight; its waiting jobs are cancelled, try again")]
    JobsInFlight { name: String, jobs: u64 },
    #[error("{0}")]
    Precondition(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    UnsupportedType(String),
    #[error("the Idempotency-Key was already used with another body")]
    KeyReused,
    #[error("{detail}")]
    ConnectorRefused {
        /// `connector.not_wasm` …
        code: String,
        detail: String,
    },
    /// A bound over all callers.
    #[error("{detail}")]
    Busy {
        code: &'static str,
        /// Contains the name of the bound.
        detail: String,
        retry_after_s: u64,
    },
    /// A bound per API key.
    #[error("{detail}")]
    TooMany {
        code: &'static str,
        /// Contains the name of the bound.
        detail: String,
        retry_after_s: u64,
    },
    /// The text is for the operator's log; the client does not get it.
    #[error("{0}")]
    Internal(String),
}

/// An error that is the only one.
#[derive(Clone, Debug)]
pub struct FieldErrorText(pub FieldError);

impl std::fmt::Display for FieldErrorText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.pointer.is_empty() {
            f.write_str(&self.0.detail)
        } else {
            write!(f, "{}: {}", self.0.pointer, self.0.detail)
        }
    }
}

impl ApiError {
    pub const fn malformed(error: FieldError) -> Self {
        Self::Malformed(FieldErrorText(error))
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors.first().map_or_else(
            || "the request is invalid".to_owned(),
            |e| FieldErrorText(e.clone()).to_string(),
        );
        Self::Invalid {
            detail,
            errors,
            omitted: 0,
        }
    }

    /// An error at one place.
    pub fn at(pointer: &str, code: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// An invalid query parameter.
    pub fn parameter(name: &str, code: &str, detail: impl Into<String>) -> Self {
        Self::at(&format!("?{name}"), code, detail)
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::Conflict { code, detail }
    }

    pub fn busy(code: &'static str, detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::Busy {
            code,
            detail: detail.into(),
            retry_after_s,
        }
    }

    /// It does not exist for this key.
    pub fn not_found(kind: &str, name: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("unknown {kind} `{name}`"))
    }

    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::Invalid { .. }
            | Self::ItemsRefused { .. }
            | Self::CutOff(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Gone(_) => StatusCode::GONE,
            Self::Conflict { .. } | Self::JobsInFlight { .. } => StatusCode::CONFLICT,
            Self::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::KeyReused | Self::ConnectorRefused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code, and the title for people.
    fn code_and_title(&self) -> (&str, &'static str) {
        match self {
            Self::Malformed(_) => ("malformed_request", "Malformed request"),
            Self::Invalid { .. } => ("invalid_request", "Invalid request"),
            Self::ItemsRefused { .. } => ("items_refused", "Invalid items"),
            Self::Unauthenticated(_) => ("unauthenticated", "Missing or invalid API key"),
            Self::Forbidden(_) => ("forbidden", "Not allowed for this API key"),
            Self::NotFound(_) => ("not_found", "Not found"),
            Self::MethodNotAllowed(_) => ("method_not_allowed", "Method not allowed"),
            Self::BodyTimeout(_) => ("body_timeout", "Request body timed out"),
            Self::CutOff(_) => ("body_cut_off", "Incomplete request body"),
            Self::Gone(_) => ("gone", "Expired"),
            Self::Conflict { code, .. } => (code, "Conflict with the current state"),
            Self::JobsInFlight { .. } => ("jobs_in_flight", "Jobs are in flight"),
            Self::Precondition(_) => ("precondition_failed", "Precondition failed"),
            Self::TooLarge(_) => ("too_large", "Request too large"),
            Self::UnsupportedType(_) => (
                "unsupported_media_type",
                "Unsupported media type or content encoding",
            ),
            Self::KeyReused => ("idempotency_key_reused", "Idempotency-Key already used"),
            Self::ConnectorRefused { code, .. } => (code, "Connector refused"),
            Self::Busy { code, .. } => (code, "Temporarily unavailable"),
            Self::TooMany { code, .. } => (code, "Too many requests"),
            Self::Internal(_) => ("internal", "Internal error"),
        }
    }

    /// The document, with the trace id of the current request.
    pub fn document(self) -> ProblemDocument {
        let (code, title) = self.code_and_title();
        let (code, title, status) = (code.to_owned(), title.to_owned(), self.status().as_u16());
        let detail = match &self {
            Self::Internal(_) => {
                "internal error; the host's log has the cause under this trace id".to_owned()
            }
            other => other.to_string(),
        };
        let (mut errors, mut errors_omitted) = match self {
            Self::Malformed(error) => (vec![error.0], 0),
            Self::Invalid {
                errors, omitted, ..
            } => (errors, omitted),
            Self::ItemsRefused { refused, errors } => {
                let omitted = refused.saturating_sub(errors.len() as u64);
                (errors, omitted)
            }
            _ => (Vec::new(), 0),
        };
        if errors.len() > MAX_LISTED_ERRORS {
            errors_omitted += (errors.len() - MAX_LISTED_ERRORS) as u64;
            errors.truncate(MAX_LISTED_ERRORS);
        }
        let kind = format!("urn:egression:problem:{code}");
        ProblemDocument {
            kind,
            title,
            status,
            detail,
            code,
            errors,
            errors_omitted,
            trace_id: trace::current(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::busy(
                "storage_full",
                "the host's disk is full; nothing was stored, acknowledged jobs are safe, and the \
                 host resumes when space is free",
                30,
            ),
            StoreError::Disk(reason) => {
                tracing::error!(reason, trace_id = trace::current(), "disk error");
                let detail = "the host's disk returned an error; nothing was stored";
                Self::busy("store_disk", detail, 5)
            }
            StoreError::Busy | StoreError::Overloaded => {
                Self::busy("store_busy", error.to_string(), 1)
            }
            StoreError::KeyUsed => Self::conflict("request_in_progress", error.to_string()),
            StoreError::ConnectionGone => Self::conflict(
                "connection_removed",
                format!("{error}; nothing was stored, send the request again"),
            ),
            StoreError::Closed => Self::busy("stopping", "the host is stopping", 5),
            StoreError::Held { .. }
            | StoreError::Refused(_)
            | StoreError::Database(_)
            | StoreError::Corrupt(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Stale { .. } => Self::Precondition(error.to_string()),
            DocumentError::ManagedByFile => Self::conflict(
                "managed_by_file",
                "the configuration file manages this document; change it there",
            ),
            DocumentError::Missing(_) => Self::NotFound(error.to_string()),
            DocumentError::InUse(detail) => Self::conflict("in_use", detail),
            DocumentError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut headers = HeaderMap::new();
        let mut fixed = |name, value| headers.insert(name, HeaderValue::from_static(value));
        fixed(header::CONTENT_TYPE, "application/problem+json");
        fixed(header::CACHE_CONTROL, "no-store");
        match &self {
            Self::Internal(reason) => {
                tracing::error!(reason, trace_id = trace::current(), "request failed")
            }
            Self::Busy { retry_after_s, .. } | Self::TooMany { retry_after_s, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::JobsInFlight { .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            // The rest of the body was not read, so the connection cannot be reused.
            Self::BodyTimeout(_) | Self::TooLarge(_) => {
                fixed(header::CONNECTION, "close");
            }
            Self::Unauthenticated(_) => {
                fixed(header::WWW_AUTHENTICATE, "Bearer realm=\"egression\"");
            }
            _ => {}
        }
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        (status, headers, body).into_response()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_lists_a_bounded_number_of_errors_and_counts_the_rest() {
        let errors = (0..150)
            .map(|i| {
                FieldError::new(
                    format!("/jobs/{i}/action"),
                    "invalid_value",
                    "expected create",
                )
            })
            .collect();
        let document = ApiError::ItemsRefused {
            refused: 200,
            errors,
        }
        .document();
        assert_eq!(
            (
                document.status,
                document.errors.len(),
                document.errors_omitted
            ),
            (400, 100, 100)
        );
        assert_eq!(document.kind, "urn:egression:problem:items_refused");
    }

    #[test]
    fn internal_error_hides_its_cause() {
        let document = ApiError::from(StoreError::Database("secret path".into())).document();
        assert_eq!(document.status, 500);
        assert!(!document.detail.contains("secret"));
    }

    #[test]
    fn store_errors_that_pass_set_retry_after() {
        for error in [
            StoreError::Full,
            StoreError::Disk(String::new()),
            StoreError::Busy,
            StoreError::Overloaded,
            StoreError::Closed,
        ] {
            let response = ApiError::from(error).into_response();
            assert!(
                response.headers().contains_key(header::RETRY_AFTER),
                "{}",
                response.status()
            );
        }
    }

    #[test]
    fn field_error_under_a_container_keeps_parameter_pointers() {
        assert_eq!(
            FieldError::new("/action", "x", "y")
                .under("/jobs/17")
                .pointer,
            "/jobs/17/action"
        );
        assert_eq!(
            FieldError::new("?limit", "x", "y")
                .under("/jobs/17")
                .pointer,
            "?limit"
        );
    }
}
