//! Changes that complete even if the client disconnects.

use super::problem::ApiError;
use crate::telemetry::layer_cpu::Layer;

/// Runs a change in its own task, because a handler is dropped when its client disconnects. What
/// the store commits must also reach the scheduler and the documents in memory.
pub async fn detached<T, E>(
    change: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let joined = tokio::spawn(Layer::Api.measure(change)).await;
    joined
        .map_err(|error| ApiError::Internal(error.to_string()))?
        .map_err(Into::into)
}
