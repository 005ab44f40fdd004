//! The whole host, put together. The only module that sees all others.

mod destinations;
mod metrics_sampler;
mod open_files;
mod retention;
mod serve;
mod settings_check;
mod shutdown;
mod start;

use std::path::Path;

use serde_json::Value;

pub use serve::serve;

/// Why the host does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{0}")]
    Start(String),
    #[error(
        "the store accepts no more writes because of a defect (see the log); acknowledged data is \
         safe; restart the host"
    )]
    Writer,
}

/// Names the part that failed to start.
fn start_error<E: std::fmt::Display>(part: &'static str) -> impl Fn(E) -> AppError {
    move |error| AppError::Start(format!("{part}: {error}"))
}

/// Creates an API key in the data directory of a stopped host. Takes and returns what
/// `POST /v1/keys` does.
pub async fn create_key_offline(data_dir: &Path, request: Value) -> Result<Value, AppError> {
    crate::api::offline_key::create(data_dir, request)
        .await
        .map_err(start_error("key"))
}

/// The API description (OpenAPI 3.1) as JSON text.
pub fn openapi() -> Result<String, AppError> {
    crate::api::openapi(&crate::api::ApiSettings::default())
        .to_pretty_json()
        .map_err(start_error("API description"))
}
