//! Runs the host: listens, serves, and stops.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::open_files;
use super::shutdown::{Signals, drain, shutdown_requested};
use super::start::start;
use super::{AppError, start_error};
use crate::api::{self, ConnectionBounds};
use crate::clock::Clock;
use crate::documents::model::Documents;
use crate::settings::server::ServerSettings;

/// Runs the host until SIGINT or SIGTERM. Then it admits nothing more, answers waiting requests,
/// lets running calls and requests finish within `dispatch.drain_ms`, and closes the store. If the
/// store's writer ends, the host stops at once: it could not settle its calls, and another host may
/// hold the data directory. `documents`: those of the configuration file, if there is one. Errors:
/// the host cannot start, or its writer ended.
pub async fn serve(settings: ServerSettings, documents: Option<Documents>) -> Result<(), AppError> {
    let api_listener = bind(settings.listen).await?;
    let operations = match settings.operations_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let drain_timeout = Duration::from_millis(settings.dispatch.drain_ms);
    let of_api = ConnectionBounds::of_api(&settings.api, open_files::raise_limit());
    let of_operations = ConnectionBounds::of_operations(&settings.api);
    // Installed before the address is printed, because its reader may stop the host at once.
    let signals = Signals::install().map_err(start_error("signals"))?;
    let mut stopping = std::pin::pin!(signals.received());
    let host = tokio::select! {
        host = start(settings, documents) => host?,
        () = &mut stopping => return Ok(()),
    };
    announce("listening", &api_listener);
    let (stop, stopped) = watch::channel(false);
    let serve = |listener, routes, bounds| {
        let stopped = stopped.clone();
        tokio::spawn(api::serve(
            listener,
            routes,
            bounds,
            Clock::system(),
            stopped,
        ))
    };
    let serving = serve(api_listener, host.api, of_api);
    let operating = operations.map(|listener| {
        announce("operations", &listener);
        serve(listener, host.operations, of_operations)
    });
    host.ready.send_replace(true);
    let end = shutdown_requested(stopping, &host.store).await;
    // This also ends long polls: they respond with the current state.
    host.ready.send_replace(false);
    stop.send_replace(true);
    let mut servers: Vec<_> = [Some(serving), operating].into_iter().flatten().collect();
    if let Err(error) = &end {
        tracing::error!(%error, "stopping at once");
    } else {
        tracing::info!("stopping: waiting for running calls and requests");
        drain(&host.dispatcher, &mut servers, drain_timeout).await;
    }
    for server in servers {
        server.abort();
    }
    host.store.close().await;
    end
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| AppError::Start(format!("cannot listen on {address}: {error}")))
}

/// Prints a line that a script can wait for: `listening on http://127.0.0.1:8080`.
#[expect(
    clippy::print_stdout,
    reason = "the line is the command's output: with port 0 it is the only source of the address"
)]
fn announce(what: &str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        println!("{what} on http://{address}");
    }
}
