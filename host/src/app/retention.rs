//! Removes what is no longer kept, at the start and then at an interval: executions past their
//! time, and what was left of requests that never came to their end.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// The shortest pause between two rounds, in milliseconds, whatever is configured.
const LEAST_PAUSE_MS: u64 = 100;

/// A request that began so many times the time for a body ago is over, whatever became of it.
const RECEIVING_TIMES: u64 = 2;

/// Works until the store is closed. `interval_ms`: the pause between two rounds. `body_timeout_ms`:
/// how long a request may take to arrive.
pub(super) fn start(store: Store, clock: Clock, interval_ms: u64, body_timeout_ms: u64) {
    let receiving_ms =
        i64::try_from(body_timeout_ms.saturating_mul(RECEIVING_TIMES)).unwrap_or(i64::MAX);
    tokio::spawn(async move {
        loop {
            match store.remove_expired(clock.wall()).await {
                Ok(0) => {}
                Ok(executions) => {
                    tracing::info!(executions, "removed executions that are no longer kept")
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "executions past their time are not removed yet; tried again later")
                }
            }
            match store
                .abandon_begun_before(clock.wall().plus_ms(-receiving_ms))
                .await
            {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "what is left of unfinished requests is not removed yet; tried again later")
                }
            }
            let pause = Duration::from_millis(interval_ms.max(LEAST_PAUSE_MS));
            tokio::time::sleep_until(clock.instant(clock.mono()) + pause).await;
        }
    });
}
