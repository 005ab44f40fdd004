//! Store calls that wait for the store: a full disk, a busy database or an I/O error delays an
//! outcome and never loses it.

use std::time::Duration;

use egression_core::domain::backoff::{Backoff, Jitter};

use crate::clock::Clock;
use crate::store::StoreError;

const PAUSES: Backoff = Backoff {
    base_ms: 100,
    max_ms: 5000,
    jitter: Jitter::None,
};

/// Repeats the call until the store takes it or refuses for good, because it is closed or a row is
/// unreadable. Nothing else would repeat it before the next start.
pub async fn retry_until_stored<T, F>(
    clock: &Clock,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        match attempt().await {
            Err(error) if !matches!(error, StoreError::Closed | StoreError::Corrupt(_)) => {
                failures += 1;
                let pause_ms = PAUSES.wait_ms(failures, 0.0);
                tracing::warn!(%error, retry_ms = pause_ms, "the store failed; retrying");
                let wake = clock.instant(clock.mono()) + Duration::from_millis(pause_ms);
                tokio::time::sleep_until(wake).await;
            }
            result => return result,
        }
    }
}
