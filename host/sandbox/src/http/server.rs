//! A running shop: routes, start and stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{get, post},
};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    refusal::Refusal,
    report::Report,
    scenario::{Scenario, ScenarioError},
    state::ShopState,
};

use super::{
    arrival_layer::record_arrival,
    auth, batch, control,
    listener::{Peer, ShopListener},
    single,
};

/// How long a stop waits for open calls before it aborts them.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Shop;

/// A shop that is listening. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct RunningShop {
    addr: SocketAddr,
    state: Arc<ShopState>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

/// Why a shop did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scenario is invalid.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The shop cannot listen on the address.
    #[error("the sandbox shop cannot listen on {addr}: {source}")]
    Listen {
        /// The requested address.
        addr: SocketAddr,
        source: io::Error,
    },
}

impl Shop {
    /// Starts an empty shop that speaks HTTP/1.1 without TLS. Port 0 selects a free port. Errors:
    /// the scenario has invalid values, or the shop cannot listen on the address.
    pub async fn start(scenario: Scenario, addr: SocketAddr) -> Result<RunningShop, StartError> {
        let scenario = scenario.checked()?;
        let listen = |source| StartError::Listen { addr, source };
        let listener = ShopListener::bind(addr).await.map_err(listen)?;
        let addr = listener.socket_addr().map_err(listen)?;
        tracing::info!(%addr, seed = scenario.seed, "sandbox shop listening");

        let state = Arc::new(ShopState::new(scenario));
        let service = router(&state).into_make_service_with_connect_info::<Peer>();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, service).with_graceful_shutdown(async {
            // A dropped sender means the same as a message.
            let _ = stopped.await;
        });
        Ok(RunningShop {
            addr,
            state,
            stop,
            server: tokio::spawn(server.into_future()),
        })
    }
}

impl RunningShop {
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The report so far. Ask for it before [`RunningShop::stop`].
    pub fn report(&self) -> Report {
        Report::of(&self.state)
    }

    /// Accepts no more connections, waits at most 10 s for open calls, and stops.
    pub async fn stop(self) {
        // The server may have failed already; then there is no receiver.
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

fn router(state: &Arc<ShopState>) -> Router {
    let guarded = Router::new()
        .route("/v1/account", get(auth::account))
        .route(
            "/v1/{type}/{id}",
            get(single::get)
                .put(single::put)
                .delete(single::delete)
                .post(batch::post),
        )
        .route_layer(from_fn_with_state(Arc::clone(state), auth::authorize));
    Router::new()
        .route("/oauth/token", post(auth::oauth_token))
        .route("/v1/login", post(auth::login))
        .merge(guarded)
        .nest("/_sandbox", control::router())
        .fallback(async || Refusal::RouteUnknown)
        .method_not_allowed_fallback(async || Refusal::MethodUnknown)
        // The arrival layer has already read the body, with its own bound.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(state), record_arrival))
        .with_state(Arc::clone(state))
}
