//! Writing that waits for the store: a full disk, a busy database or an error of the disk delays an
//! outcome, it does not lose it.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::StoreError;

const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5000;

/// Tries until the store takes it or refuses for good: it is closed, or a row is unreadable. Nobody
/// else would try again before the next start.
pub async fn retry_until_stored<T, F>(
    clock: &Clock,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause_ms = FIRST_PAUSE_MS;
    loop {
        match attempt().await {
            Err(error) if !matches!(error, StoreError::Closed | StoreError::Corrupt(_)) => {
                tracing::warn!(%error, pause_ms, "the store does not take a write; trying again");
                let wake = clock.instant(clock.mono()) + Duration::from_millis(pause_ms);
                tokio::time::sleep_until(wake).await;
                pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
            }
            other => return other,
        }
    }
}
