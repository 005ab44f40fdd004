//! Removes what is no longer kept, at the start and then at an interval.

use std::time::Duration;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// The shortest pause between two rounds, in milliseconds, whatever is configured.
const LEAST_PAUSE_MS: u64 = 100;

/// Works until the store is closed. `interval_ms`: the pause between two rounds.
pub(super) fn start(store: Store, clock: Clock, interval_ms: u64) {
    tokio::spawn(async move {
        loop {
            match store.remove_expired(clock.wall()).await {
                Ok(0) => {}
                Ok(executions) => tracing::info!(executions, "removed executions that are no longer kept"),
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!(%error, "executions past their time are not removed yet; tried again later"),
            }
            let pause = Duration::from_millis(interval_ms.max(LEAST_PAUSE_MS));
            tokio::time::sleep_until(clock.instant(clock.mono()) + pause).await;
        }
    });
}
