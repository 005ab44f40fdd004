//! Every refusal of the API, in one place: its status, its stable code, and its document (RFC
//! 9457).
//!
//! Promises `application/problem+json` with `type`, `title`, `status`, `detail`, `code`, `errors`
//! and `trace_id`. What went wrong with a *job* is not a refusal of the API; that is the core's
//! `Problem`.

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::middleware::trace;
use crate::store::StoreError;
use crate::store::documents::DocumentError;

/// The most places that one problem lists; the rest is counted in `errors_omitted`.
pub const MAX_LISTED_ERRORS: usize = 100;

/// One place of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body: `/jobs/17/action`. `?name` stands for a query
    /// parameter, `#name` for a header.
    #[schema(example = "/jobs/17/action")]
    pub pointer: String,
    /// Stable and machine-readable.
    #[schema(example = "invalid_value")]
    pub code: String,
    /// What is wrong and what was expected.
    pub detail: String,
}

impl FieldError {
    /// A wrong place.
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

    /// The same place seen from further out: `/action` inside `/jobs/17`.
    #[must_use]
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
    /// Names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:egression:problem:invalid_request")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// Stable and machine-readable.
    #[schema(example = "invalid_request")]
    pub code: String,
    /// The places that are wrong.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// Wrong places that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors_omitted: u64,
    /// Finds the request in the host's log (W3C Trace Context).
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: String,
}

/// Why the API does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body cannot be read as what it should be: syntax, unknown fields, wrong types.
    #[error("{0}")]
    Malformed(FieldErrorText),
    /// It can be read, and says what cannot be done.
    #[error("{detail}")]
    Invalid {
        /// What is wrong as a whole.
        detail: String,
        /// Where.
        errors: Vec<FieldError>,
        /// Wrong places beyond those listed.
        omitted: u64,
    },
    /// `Prefer: handling=strict`, and some items are refused.
    #[error(
        "{refused} of the items are refused; nothing was stored, because handling=strict was preferred"
    )]
    ItemsRefused {
        /// How many.
        refused: u64,
        /// The first of them.
        errors: Vec<FieldError>,
    },
    /// No key, or one that is not known.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The key's role or subscription does not allow it.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing, or it belongs to another tenant.
    #[error("{0}")]
    NotFound(String),
    /// The path is there, the method is not.
    #[error("{0} is not allowed here")]
    MethodNotAllowed(http::Method),
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0} ms (bound `api.body_timeout_ms`)")]
    BodyTimeout(u64),
    /// The body stopped before its end.
    #[error("the body was cut off: {0}; nothing was stored")]
    CutOff(String),
    /// It was there once.
    #[error("{0}")]
    Gone(String),
    /// The thing's state does not allow it.
    #[error("{detail}")]
    Conflict {
        /// Which conflict.
        code: &'static str,
        /// In words.
        detail: String,
    },
    /// Jobs that cannot be cancelled any more keep a thing from being removed, for a moment.
    #[error("{name}: {jobs} jobs are in flight; the waiting ones are cancelled, ask again")]
    UnderWay {
        /// What they need.
        name: String,
        /// How many.
        jobs: u64,
    },
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("{0}")]
    Precondition(String),
    /// A bound on size.
    #[error("{0}")]
    TooLarge(String),
    /// The wrong media type or content coding.
    #[error("{0}")]
    UnsupportedType(String),
    /// The idempotency key was used with another body.
    #[error("the Idempotency-Key was used before with another body")]
    KeyReused,
    /// A connector that is not taken in.
    #[error("{detail}")]
    ConnectorRefused {
        /// Which rule it breaks: `not_a_component`, `wrong_world` …
        code: String,
        /// In words, with what is wrong.
        detail: String,
    },
    /// A bound on work under way.
    #[error("{detail}")]
    Busy {
        /// Which bound.
        code: &'static str,
        /// In words, with the bound's name.
        detail: String,
        /// When trying again makes sense.
        retry_after_s: u64,
    },
    /// A bound on what one key may do.
    #[error("{detail}")]
    TooMany {
        /// Which bound.
        code: &'static str,
        /// In words, with the bound's name.
        detail: String,
        /// When trying again makes sense.
        retry_after_s: u64,
    },
    /// The disk is full.
    #[error(
        "the disk is full; nothing acknowledged is lost, and it works again when there is room"
    )]
    StorageFull,
    /// The host's own fault. The text is for the operator's log and is not given out.
    #[error("{0}")]
    Internal(String),
}

/// One wrong place that is the whole story.
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
    /// A body that cannot be read, with the place.
    #[must_use]
    pub const fn malformed(error: FieldError) -> Self {
        Self::Malformed(FieldErrorText(error))
    }

    /// A request that can be read but not done, with the places.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors.first().map_or_else(
            || "the request is not valid".to_owned(),
            |e| FieldErrorText(e.clone()).to_string(),
        );
        Self::Invalid {
            detail,
            errors,
            omitted: 0,
        }
    }

    /// A query parameter that is wrong.
    pub fn parameter(name: &str, code: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(format!("?{name}"), code, detail)])
    }

    /// A thing that is not there (for this key).
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("there is no {what} `{name}`"))
    }

    /// The HTTP status.
    #[must_use]
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
            Self::Conflict { .. } | Self::UnderWay { .. } => StatusCode::CONFLICT,
            Self::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::KeyReused | Self::ConnectorRefused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code and the title that goes with it.
    fn kind(&self) -> (&str, &'static str) {
        match self {
            Self::Malformed(_) => ("malformed_request", "The request cannot be read"),
            Self::Invalid { .. } => ("invalid_request", "The request cannot be done as it is"),
            Self::ItemsRefused { .. } => ("items_refused", "Some items are refused"),
            Self::Unauthenticated(_) => ("unauthenticated", "A valid API key is needed"),
            Self::Forbidden(_) => ("forbidden", "The API key does not allow this"),
            Self::NotFound(_) => ("not_found", "Not found"),
            Self::MethodNotAllowed(_) => ("method_not_allowed", "Method not allowed"),
            Self::BodyTimeout(_) => ("body_timeout", "The body came too slowly"),
            Self::CutOff(_) => ("body_cut_off", "The body was cut off"),
            Self::Gone(_) => ("gone", "No longer kept"),
            Self::Conflict { code, .. } => (code, "The state of the thing does not allow this"),
            Self::UnderWay { .. } => ("jobs_in_flight", "Jobs are in flight"),
            Self::Precondition(_) => ("precondition_failed", "A precondition does not hold"),
            Self::TooLarge(_) => ("too_large", "Too large"),
            Self::UnsupportedType(_) => (
                "unsupported_media_type",
                "Unsupported media type or content coding",
            ),
            Self::KeyReused => (
                "idempotency_key_reused",
                "The Idempotency-Key belongs to another body",
            ),
            Self::ConnectorRefused { code, .. } => (code, "The connector is refused"),
            Self::Busy { code, .. } => (code, "Busy: try again later"),
            Self::TooMany { code, .. } => (code, "Too much at once from this API key"),
            Self::StorageFull => ("storage_full", "The disk is full"),
            Self::Internal(_) => ("internal", "The host failed"),
        }
    }

    /// The document, with the trace id of the request that is being served.
    #[must_use]
    pub fn document(self) -> ProblemDocument {
        let (code, title) = self.kind();
        let (code, title, status) = (code.to_owned(), title.to_owned(), self.status().as_u16());
        let detail = match &self {
            Self::Internal(_) => {
                "The host failed; its log has the reason under this trace id.".to_owned()
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
            StoreError::Full => Self::StorageFull,
            StoreError::Disk(reason) => {
                tracing::error!(reason, trace_id = trace::current(), "the disk refuses");
                let detail = "the disk of the host refuses; nothing was stored".to_owned();
                Self::Busy {
                    code: "store_disk",
                    detail,
                    retry_after_s: 5,
                }
            }
            StoreError::Busy | StoreError::Overloaded => Self::Busy {
                code: "store_busy",
                detail: error.to_string(),
                retry_after_s: 1,
            },
            StoreError::KeyUsed => Self::Conflict {
                code: "request_in_progress",
                detail: error.to_string(),
            },
            StoreError::ConnectionGone => Self::Conflict {
                code: "connection_removed",
                detail: format!("{error}; nothing was stored, send it again"),
            },
            StoreError::Closed => Self::Busy {
                code: "stopping",
                detail: "the host is stopping".to_owned(),
                retry_after_s: 5,
            },
            StoreError::Held { .. } | StoreError::Database(_) | StoreError::Corrupt(_) => {
                Self::Internal(error.to_string())
            }
        }
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Stale { .. } => Self::Precondition(error.to_string()),
            DocumentError::ManagedByFile => Self::Conflict {
                code: "managed_by_file",
                detail: "the configuration file looks after this document; change it there"
                    .to_owned(),
            },
            DocumentError::Missing(_) => Self::NotFound(error.to_string()),
            DocumentError::InUse(detail) => Self::Conflict {
                code: "in_use",
                detail,
            },
            DocumentError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match &self {
            Self::Internal(reason) => {
                tracing::error!(reason, trace_id = trace::current(), "request failed")
            }
            Self::Busy { retry_after_s, .. } | Self::TooMany { retry_after_s, .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::UnderWay { .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(1));
            }
            Self::StorageFull => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(30));
            }
            // After these the rest of the body was not read, so the connection cannot be used
            // again.
            Self::BodyTimeout(_) | Self::TooLarge(_) => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Unauthenticated(_) => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"egression\""),
                );
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
    fn a_problem_names_the_place_and_counts_what_it_leaves_out() {
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
    fn the_operators_text_is_not_given_out() {
        let document = ApiError::from(StoreError::Database("secret path".into())).document();
        assert_eq!(document.status, 500);
        assert!(!document.detail.contains("secret"));
    }

    #[test]
    fn a_full_disk_and_a_busy_store_say_when_to_come_back() {
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
    fn pointers_of_parameters_are_not_moved() {
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
