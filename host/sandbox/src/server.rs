//! A shop as a running server: its routes, its start and its end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    auth, batch, control,
    floor::Floor,
    gate,
    listener::{Peer, ShopListener},
    refusal::Refusal,
    report::Report,
    scenario::{Scenario, ScenarioError},
    single,
};

/// How long a stop waits for open calls before it cuts them off.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Shop;

/// A shop that is listening. Dropping it ends it too, without waiting.
#[derive(Debug)]
pub struct RunningShop {
    addr: SocketAddr,
    floor: Arc<Floor>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

/// Why a shop did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scenario cannot be used.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The address cannot be listened on.
    #[error("the sandbox shop cannot listen on {addr}: {source}")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        source: io::Error,
    },
}

impl Shop {
    /// Starts an empty shop. Port 0 takes a free port; HTTP/1.1 without TLS.
    ///
    /// # Errors
    /// The scenario holds impossible values, or the address cannot be listened on.
    pub async fn start(scenario: Scenario, addr: SocketAddr) -> Result<RunningShop, StartError> {
        let scenario = scenario.checked()?;
        let listen = |source| StartError::Listen { addr, source };
        let listener = ShopListener::bind(addr).await.map_err(listen)?;
        let addr = listener.socket_addr().map_err(listen)?;
        tracing::info!(%addr, seed = scenario.seed, "sandbox shop listening");

        let floor = Arc::new(Floor::new(scenario));
        let service = router(&floor).into_make_service_with_connect_info::<Peer>();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, service).with_graceful_shutdown(async {
            // A dropped sender asks for the same as a message.
            let _ = stopped.await;
        });
        Ok(RunningShop {
            addr,
            floor,
            stop,
            server: tokio::spawn(server.into_future()),
        })
    }
}

impl RunningShop {
    /// The address that the shop listens on.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What happened so far. Stays available to the end: ask before [`RunningShop::stop`].
    #[must_use]
    pub fn report(&self) -> Report {
        Report::of(&self.floor)
    }

    /// Takes no more connections, finishes the open calls (for at most 10 s) and ends.
    pub async fn stop(self) {
        // The server may have ended by itself; then there is nobody to tell.
        let _ = self.stop.send(());
        let abort = self.server.abort_handle();
        match timeout(STOP_WITHIN, self.server).await {
            Ok(Ok(Ok(()))) => tracing::info!(addr = %self.addr, "sandbox shop stopped"),
            Ok(ended) => tracing::error!(addr = %self.addr, ?ended, "sandbox shop failed"),
            Err(_) => {
                abort.abort();
                tracing::warn!(addr = %self.addr, "sandbox shop stopped with calls still open");
            }
        }
    }
}

fn router(floor: &Arc<Floor>) -> Router {
    let guarded = Router::new()
        .route("/v1/account", get(auth::account))
        .route(
            "/v1/{type}/{id}",
            get(single::get)
                .put(single::put)
                .delete(single::delete)
                .post(batch::post),
        )
        .route_layer(from_fn_with_state(Arc::clone(floor), auth::authorize));
    Router::new()
        .route("/oauth/token", post(auth::oauth_token))
        .route("/v1/login", post(auth::login))
        .merge(guarded)
        .nest("/_sandbox", control::router())
        .fallback(async || Refusal::RouteUnknown)
        .method_not_allowed_fallback(async || Refusal::MethodUnknown)
        // The gate has read the body by the time a handler wants it.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(floor), gate::pass))
        .with_state(Arc::clone(floor))
}
