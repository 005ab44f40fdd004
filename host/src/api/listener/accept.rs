//! Accepts connections: within the bounds to the API, beyond them to the reserve.

use std::collections::VecDeque;

use axum::Router;
use axum::serve::Listener;
use egression_core::time::Mono;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use super::client_connection::Serving;
use super::connection_bounds::ConnectionBounds;
use super::connection_slots::{ConnectionSlots, Exceeded};
use crate::clock::Clock;
use crate::telemetry::layer_cpu::Layer;
use crate::telemetry::metrics;

/// Connections beyond the bounds that are open at once.
pub const RESERVED: usize = 16;
/// The least time between two log lines about the bounds, in milliseconds.
const LOG_INTERVAL_MS: u64 = 60_000;

/// The routes of one listener.
pub struct Routes {
    pub within_bounds: Router,
    pub beyond_bounds: Router,
}

/// Serves until `stopped` is true and all connections have ended.
pub async fn serve(
    mut listener: TcpListener,
    routes: Routes,
    bounds: ConnectionBounds,
    clock: Clock,
    mut stopped: watch::Receiver<bool>,
) {
    let slots = ConnectionSlots::new(bounds);
    let serving = |router| Serving {
        router,
        bounds,
        clock: clock.clone(),
        stopped: stopped.clone(),
    };
    let within = serving(routes.within_bounds);
    let beyond = serving(routes.beyond_bounds);
    let mut reserve = Reserve::default();
    let mut refusals = Refusals::default();
    let connections = TaskTracker::new();
    loop {
        let (stream, peer) = tokio::select! {
            // Survives errors such as too many open files, unlike the method of the same name.
            accepted = Listener::accept(&mut listener) => accepted,
            // An error means that the sender is gone, which is the end as well.
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match slots.take(peer.ip()) {
            Ok(slot) => {
                let connection = within.clone().serve(stream);
                connections.spawn(Layer::Api.measure(async move {
                    connection.await;
                    drop(slot);
                }));
            }
            Err(exceeded) => {
                metrics::connection_refused(exceeded.label());
                refusals.log(exceeded, clock.mono());
                let connection =
                    connections.spawn(Layer::Api.measure(beyond.clone().serve_one(stream)));
                reserve.add(connection.abort_handle());
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The newest connections beyond the bounds.
#[derive(Default)]
struct Reserve(VecDeque<AbortHandle>);

impl Reserve {
    /// Adds a connection and closes the oldest one if there are too many. A connection that sends
    /// nothing thus keeps nobody from `/livez`.
    fn add(&mut self, connection: AbortHandle) {
        self.0.retain(|connection| !connection.is_finished());
        self.0.push_back(connection);
        if self.0.len() > RESERVED
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
    }
}

/// Refused connections since the last log line.
#[derive(Default)]
struct Refusals {
    since_logged: u64,
    logged: Option<Mono>,
}

impl Refusals {
    fn log(&mut self, exceeded: Exceeded, now: Mono) {
        if let Some(connections) = self.add(now) {
            tracing::warn!(
                connections,
                setting = exceeded.setting(),
                "connections beyond the bound get 503; raise the setting, or the limit on open \
                 files"
            );
        }
    }

    /// Counts one. Returns the number to log, at most once per interval.
    fn add(&mut self, now: Mono) -> Option<u64> {
        self.since_logged += 1;
        let is_recent = |logged: Mono| now.since_ms(logged) < LOG_INTERVAL_MS;
        if self.logged.is_some_and(is_recent) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.since_logged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_once_a_minute_with_their_number() {
        let mut refusals = Refusals::default();
        let at = |ms| Mono(0).plus_ms(ms);
        assert_eq!(refusals.add(at(0)), Some(1));
        assert_eq!(refusals.add(at(1)), None);
        assert_eq!(refusals.add(at(59_999)), None);
        assert_eq!(refusals.add(at(60_000)), Some(3));
        assert_eq!(refusals.add(at(60_001)), None);
    }
}
