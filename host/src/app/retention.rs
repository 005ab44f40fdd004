//! Removes expired executions and the remains of unfinished submissions, at start and then at an
//! interval.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// The shortest pause between two rounds, whatever the settings say.
const MIN_PAUSE_MS: u64 = 100;

/// A submission that began this many body timeouts ago is over.
const BODY_TIMEOUTS: u64 = 4;

/// Runs until the store closes. `interval_ms`: the pause between two rounds. `body_timeout_ms`: the
/// longest time that a request may take to arrive.
pub(super) fn start(store: Store, clock: Clock, interval_ms: u64, body_timeout_ms: u64) {
    let expired_ms =
        i64::try_from(body_timeout_ms.saturating_mul(BODY_TIMEOUTS)).unwrap_or(i64::MAX);
    tokio::spawn(async move {
        loop {
            match store.remove_expired(clock.wall()).await {
                Ok(0) => {}
                Ok(executions) => {
                    tracing::info!(executions, "removed expired executions")
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "expired executions were not removed; retrying later")
                }
            }
            match store
                .abandon_begun_before(clock.wall().plus_ms(-expired_ms))
                .await
            {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "unfinished submissions were not removed; retrying \
                                            later")
                }
            }
            let pause = Duration::from_millis(interval_ms.max(MIN_PAUSE_MS));
            tokio::time::sleep_until(clock.instant(clock.mono()) + pause).await;
        }
    });
}
