//! Every reason for which the shop refuses a call or an item, and its form over HTTP.
//!
//! A refusal becomes the response of a whole call, or the status and error of one item of a batch.
//! The OAuth token endpoint has its own errors, in `http/auth.rs`.

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::object::ObjectKey;

const US_PER_MS: u64 = 1_000;
const MS_PER_S: u64 = 1_000;

/// Why a call or an item was refused. The display text is the `message` of the error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no route for this path")]
    RouteUnknown,
    #[error("method not allowed for this path")]
    MethodUnknown,
    #[error("unknown object type `{name}`")]
    TypeUnknown { name: String },
    #[error("missing or unknown token")]
    TokenUnknown,
    #[error("the token has expired")]
    TokenExpired,
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("the API key is wrong")]
    LoginRefused,
    #[error("use `If-None-Match: *`, `If-Match: *`, or `If-Match` with a version such as `\"7\"`")]
    HeaderInvalid,
    #[error("{message}")]
    BodyInvalid { pointer: String, message: String },
    #[error("the body exceeds {max_body_bytes} bytes (`max_body_bytes` in the scenario)")]
    BodyTooLarge { max_body_bytes: u64 },
    #[error("batch refused: {reason}")]
    BatchRefused { reason: String },
    #[error("referenced objects do not exist")]
    ReferenceMissing { references: Vec<ObjectKey> },
    #[error("the object already exists")]
    VersionExists { version: u64 },
    #[error("the object has a different version")]
    VersionConflict { version: u64 },
    #[error("the object does not exist")]
    ObjectMissing,
    #[error("{referrers} other object(s) refer to this object")]
    ObjectReferenced { referrers: u64 },
    #[error("the idempotency key was used with different content")]
    IdempotencyReused,
    #[error("too many requests: {reason}")]
    LimitExceeded { reason: &'static str, wait_us: u64 },
    #[error("the shop is temporarily unavailable")]
    Unavailable,
}

impl Refusal {
    pub(crate) fn type_unknown(name: &str) -> Self {
        Self::TypeUnknown {
            name: name.to_owned(),
        }
    }

    /// The body is invalid; `pointer` is a JSON pointer (RFC 6901) into it.
    pub(crate) fn body_invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BodyInvalid {
            pointer: pointer.into(),
            message: message.into(),
        }
    }

    /// The HTTP status of the call or of the item.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::RouteUnknown | Self::TypeUnknown { .. } | Self::ObjectMissing => {
                StatusCode::NOT_FOUND
            }
            Self::MethodUnknown => StatusCode::METHOD_NOT_ALLOWED,
            Self::TokenUnknown | Self::TokenExpired | Self::TokenRevoked | Self::LoginRefused => {
                StatusCode::UNAUTHORIZED
            }
            Self::HeaderInvalid | Self::BodyInvalid { .. } => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } | Self::BatchRefused { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ReferenceMissing { .. } | Self::IdempotencyReused => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::VersionExists { .. } | Self::VersionConflict { .. } => {
                StatusCode::PRECONDITION_FAILED
            }
            Self::ObjectReferenced { .. } => StatusCode::CONFLICT,
            Self::LimitExceeded { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::RouteUnknown => "route.unknown",
            Self::MethodUnknown => "method.unknown",
            Self::TypeUnknown { .. } => "type.unknown",
            Self::TokenUnknown => "token.unknown",
            Self::TokenExpired => "token.expired",
            Self::TokenRevoked => "token.revoked",
            Self::LoginRefused => "login.refused",
            Self::HeaderInvalid => "header.invalid",
            Self::BodyInvalid { .. } => "body.invalid",
            Self::BodyTooLarge { .. } => "body.too_large",
            Self::BatchRefused { .. } => "batch.refused",
            Self::ReferenceMissing { .. } => "reference.missing",
            Self::VersionExists { .. } => "version.exists",
            Self::VersionConflict { .. } => "version.conflict",
            Self::ObjectMissing => "object.missing",
            Self::ObjectReferenced { .. } => "object.referenced",
            Self::IdempotencyReused => "idempotency.reused",
            Self::LimitExceeded { .. } => "limit.exceeded",
            Self::Unavailable => "shop.unavailable",
        }
    }

    /// The `error` object of the response.
    pub(crate) fn to_error(&self) -> ErrorBody<'_> {
        let (mut pointer, mut references, mut version) = (None, None, None);
        match self {
            Self::BodyInvalid { pointer: place, .. } => pointer = Some(place.as_str()),
            Self::ReferenceMissing { references: absent } => references = Some(absent.as_slice()),
            Self::VersionExists { version: current }
            | Self::VersionConflict { version: current } => {
                version = Some(current.to_string());
            }
            _ => {}
        }
        ErrorBody {
            code: self.code(),
            message: self.to_string(),
            pointer,
            references,
            version,
        }
    }
}

/// `{"code","message","pointer"?,"references"?,"version"?}`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<&'a [ObjectKey]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Serialize)]
struct ErrorAnswer<'a> {
    error: ErrorBody<'a>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let answer = ErrorAnswer {
            error: self.to_error(),
        };
        let mut response = (self.status(), Json(answer)).into_response();
        let headers = response.headers_mut();
        if let Self::LimitExceeded { wait_us, .. } = &self {
            let wait_ms = wait_us.div_ceil(US_PER_MS).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(MS_PER_S)));
            headers.insert("retry-after-ms", HeaderValue::from(wait_ms));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
