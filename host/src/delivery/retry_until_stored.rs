//! Store calls that wait for the store: a full disk, a busy database or an I/O error delays an
//! outcome and never loses it.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::StoreError;

const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5000;

/// Repeats the call until the store takes it or refuses for good, because it is closed or a row is
/// unreadable. Nothing else would repeat it before the next start.
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
                tracing::warn!(%error, pause_ms, "the store failed; trying again");
                let wake = clock.instant(clock.mono()) + Duration::from_millis(pause_ms);
                tokio::time::sleep_until(wake).await;
                pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
            }
            result => return result,
        }
    }
}
