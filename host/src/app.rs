//! The whole host, put together. Stub: the parts are still being written.

use crate::config::documents::Documents;
use crate::config::server::ServerSettings;

/// Why the host does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// This part is not there yet.
    #[error("{0} is not part of this build")]
    Absent(&'static str),
}

/// Runs the host until it is asked to stop.
///
/// # Errors
/// The host cannot start or cannot go on.
pub async fn serve(settings: ServerSettings, documents: Documents) -> Result<(), AppError> {
    let _ = (settings, documents);
    Err(AppError::Absent("the server"))
}

/// The API's description (OpenAPI 3.1) as JSON text.
///
/// # Errors
/// It cannot be made.
pub fn openapi() -> Result<String, AppError> {
    Err(AppError::Absent("the API"))
}
