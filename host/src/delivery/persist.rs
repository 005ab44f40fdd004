//! Writing that waits for the store: a full disk or a busy database delays an outcome, it does not lose it.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::StoreError;

const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 5000;

/// Tries until the store takes it or refuses for good.
pub(super) async fn until_taken<T, F>(clock: &Clock, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause_ms = FIRST_PAUSE_MS;
    loop {
        match attempt().await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, pause_ms, "the store does not take a write; trying again");
                let wake = clock.instant(clock.mono()) + Duration::from_millis(pause_ms);
                tokio::time::sleep_until(wake).await;
                pause_ms = (pause_ms * 2).min(LONGEST_PAUSE_MS);
            }
            other => return other,
        }
    }
}
