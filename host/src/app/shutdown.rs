//! Stopping: what requests it, and how running work ends.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::AppError;
use crate::dispatch::Dispatcher;
use crate::store::Store;

/// The time that running requests get after the calls have ended.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The signals that stop the host. Installing them early makes sure that none is missed and that
/// none ends the process.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn install() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(super) async fn received(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for a signal, or for the end of the store's writer, which is an error.
pub(super) async fn shutdown_requested(
    signal: impl Future<Output = ()>,
    store: &Store,
) -> Result<(), AppError> {
    tokio::select! {
        () = signal => Ok(()),
        () = store.writer_ended() => Err(AppError::Writer),
    }
}

/// Waits for running calls, for at most `timeout`, and then briefly for running requests.
pub(super) async fn drain(
    dispatcher: &Dispatcher,
    servers: &mut [JoinHandle<()>],
    timeout: Duration,
) {
    if tokio::time::timeout(timeout, dispatcher.drain())
        .await
        .is_err()
    {
        tracing::warn!("shutdown timeout: aborting running calls; the next start resolves them");
        return;
    }
    // Uploads and responses in progress. A slow client does not delay the end.
    let requests = async {
        for server in servers {
            // An error means that the server panicked; it has no requests.
            let _ = server.await;
        }
    };
    if tokio::time::timeout(REQUEST_TIMEOUT, requests)
        .await
        .is_err()
    {
        tracing::warn!("shutdown timeout: aborting in-flight requests");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn host_stops_with_an_error_when_the_writer_ends() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Clock::system())
            .await
            .unwrap();
        shutdown_requested(std::future::ready(()), &store)
            .await
            .unwrap();
        store.break_writer().await;
        let end = shutdown_requested(std::future::pending(), &store).await;
        assert!(matches!(end, Err(AppError::Writer)), "{end:?}");
    }
}
