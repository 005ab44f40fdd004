//! A panic in a handler becomes a problem document with status 500.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::api::http::problem::ApiError;

/// The log contains the panic's text; the client does not get it.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::Internal(format!("panicked: {}", text.unwrap_or("no message"))).into_response()
}
