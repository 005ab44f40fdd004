//! The whole host, put together. The only module that sees all others.

mod config_warnings;
mod destinations;
mod doors;
mod metrics_sampler;
mod retention;
mod serve;
mod settings_check;

pub use serve::{AppError, serve};

/// The API's description (OpenAPI 3.1) as JSON text.
///
/// # Errors
/// It cannot be written.
pub fn openapi() -> Result<String, AppError> {
    crate::api::openapi()
        .to_pretty_json()
        .map_err(|error| AppError::Start(format!("the API's description: {error}")))
}
