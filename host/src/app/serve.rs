//! Starting the parts in the order in which they need each other, and stopping them the other way
//! round.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::config_warnings::ConfigWarnings;
use super::doors::{DispatchDoor, RegistryDoor};
use super::metrics_sampler::sampler;
use super::settings_check::settings_check;
use super::{destinations, retention};
use crate::api::{self, ApiState, Doors, first_key};
use crate::clock::Clock;
use crate::delivery::{Deliverer, DeliveryParts};
use crate::dispatch::{Dispatcher, Parts};
use crate::documents::configuration::Configuration;
use crate::documents::model::Documents;
use crate::gate::Gate;
use crate::resolver::Resolver;
use crate::rng::Rng;
use crate::runtime::settings::CacheKey;
use crate::runtime::{Registry, Runtime};
use crate::settings::server::ServerSettings;
use crate::store::Store;
use crate::telemetry::exposition::Recorder;
use crate::vault::{MasterKey, Vault};

/// How long requests that are being served may take once the calls under way have ended.
const REQUESTS_END_WITHIN: Duration = Duration::from_secs(5);

/// Why the host does not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{0}")]
    Start(String),
    #[error("serving stopped: {0}")]
    Serve(std::io::Error),
    #[error(
        "the store takes no more writes, because of a defect that the log shows; what was acknowledged is kept, start again"
    )]
    Writer,
}

fn cannot(what: &'static str) -> impl Fn(String) -> AppError {
    move |error| AppError::Start(format!("{what}: {error}"))
}

struct Host {
    store: Store,
    dispatcher: Dispatcher,
    router: Router,
    operations: Router,
    ready: watch::Sender<bool>,
}

/// Runs the host until it is asked to stop (SIGINT, SIGTERM): then nothing more is admitted,
/// whoever waits is answered, calls and requests under way finish within `dispatch.drain_ms`, and
/// the store closes. It stops by itself when nothing can be written any more: its calls could not
/// be settled, and another host may have the data directory. `documents`: those of the
/// configuration file, if there is one.
///
/// # Errors
/// The host cannot start or cannot go on.
pub async fn serve(settings: ServerSettings, documents: Option<Documents>) -> Result<(), AppError> {
    let api = bind(settings.listen).await?;
    let operations = match settings.operations_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let drain = Duration::from_millis(settings.dispatch.drain_ms);
    let host = start(settings, documents).await?;
    // Before the address is told: whoever has read it may ask the host to stop.
    let asked_to_stop = Signals::install().map_err(|e| cannot("signals")(e.to_string()))?;
    announce("listening", &api);
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(
        axum::serve(api, host.router)
            .with_graceful_shutdown(until_set(stopped.clone()))
            .into_future(),
    );
    let operating = operations.map(|listener| {
        announce("operations", &listener);
        tokio::spawn(
            axum::serve(listener, host.operations)
                .with_graceful_shutdown(until_set(stopped))
                .into_future(),
        )
    });
    host.ready.send_replace(true);
    let end = the_end(asked_to_stop.received(), &host.store).await;
    // Ends the waits as well: whoever waits is answered with the state as it stands.
    host.ready.send_replace(false);
    stop.send_replace(true);
    let mut servers: Vec<_> = [Some(serving), operating].into_iter().flatten().collect();
    if let Err(error) = &end {
        tracing::error!(%error, "stopping at once");
    } else {
        tracing::info!("stopping: calls and requests under way finish first");
        finish(&host.dispatcher, &mut servers, drain).await;
    }
    for server in servers {
        server.abort();
    }
    host.store.close().await;
    end
}

/// Lets calls and requests under way end by themselves, for at most so long.
async fn finish(
    dispatcher: &Dispatcher,
    servers: &mut [JoinHandle<std::io::Result<()>>],
    at_most: Duration,
) {
    if tokio::time::timeout(at_most, dispatcher.drain())
        .await
        .is_err()
    {
        tracing::warn!("calls are still under way; their intents are taken up at the next start");
        return;
    }
    // Uploads that are being received, and answers on their way. Who reads or sends slowly does not
    // hold up the end.
    let ending = async {
        for server in servers {
            // A server that failed has nobody to serve.
            let _ = server.await;
        }
    };
    if tokio::time::timeout(REQUESTS_END_WITHIN, ending)
        .await
        .is_err()
    {
        tracing::warn!(
            "requests are still under way and are cut off; unsealed submissions leave nothing"
        );
    }
}

/// Waits until somebody asks for the end, or the store makes one.
async fn the_end(asked: impl Future<Output = ()>, store: &Store) -> Result<(), AppError> {
    tokio::select! {
        () = asked => Ok(()),
        () = store.writer_ended() => Err(AppError::Writer),
    }
}

async fn start(settings: ServerSettings, documents: Option<Documents>) -> Result<Host, AppError> {
    // First of all: what is recorded before is lost.
    let recorder = Recorder::install();
    let (clock, rng) = (Clock::system(), Rng::system());
    let data_dir = settings.data_dir.clone();
    create_private(&data_dir)
        .map_err(|e| cannot("data directory")(format!("{}: {e}", data_dir.display())))?;
    let store = Store::open_with(&data_dir, clock.clone(), settings.store)
        .await
        .map_err(|e| cannot("store")(e.to_string()))?;
    let key = master_key(&settings, &data_dir, &store).await?;
    let vault = Vault::new(&key, store.clone(), clock.clone());
    if let Some(file) = first_key::ensure(&store, &clock, &data_dir)
        .await
        .map_err(|e| cannot("admin key")(e.to_string()))?
    {
        tracing::info!(file = %file.display(), "made an admin key");
    }
    let registry = open_registry(&settings, &data_dir, &store, &key, &clock).await?;
    let configuration = open_configuration(&store, &vault, &registry, documents).await?;
    let gate = Gate::start(
        settings.gate.clone(),
        store.clone(),
        vault.clone(),
        clock.clone(),
    )
    .await
    .map_err(|e| cannot("gate")(e.to_string()))?;
    let resolver = Arc::new(Resolver::new(
        settings.resolver.clone(),
        Arc::clone(&gate),
        clock.clone(),
        rng.clone(),
    ));
    let deliverer = Deliverer::new(DeliveryParts {
        store: store.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        gate: Arc::clone(&gate),
        resolver: Arc::clone(&resolver),
        registry: Arc::clone(&registry),
        configuration: Arc::clone(&configuration),
        vault: Arc::new(vault),
        slots: settings.runtime.slots,
        check_holds_ms: settings.dispatch.probe_min_ms,
    });
    let configure = configurer(
        &configuration,
        &registry,
        &gate,
        &resolver,
        ConfigWarnings::new(settings.gate.guard()),
    );
    configure();
    let parts = Parts {
        store: store.clone(),
        clock: clock.clone(),
        rng,
        gate: Arc::clone(&gate),
        configuration: Arc::clone(&configuration),
        registry: Arc::clone(&registry),
        deliverer,
    };
    let dispatcher = Dispatcher::start(parts, settings.dispatch.clone())
        .await
        .map_err(|e| cannot("dispatcher")(e.to_string()))?;
    let changed = follow(&configuration, configure, dispatcher.clone());
    let sampler = sampler(
        store.clone(),
        Arc::clone(&configuration),
        Arc::clone(&registry),
        dispatcher.view(clock.clone()),
    );
    let metrics = recorder.map(|recorder| recorder.exposition(sampler));
    retention::start(
        store.clone(),
        clock.clone(),
        settings.store.removal_interval_ms,
        settings.api.body_timeout_ms,
    );
    let doors = Doors {
        connectors: Arc::new(RegistryDoor {
            registry,
            configuration: Arc::clone(&configuration),
            changed,
        }),
        configuration,
        scheduling: Arc::new(DispatchDoor {
            view: dispatcher.view(clock.clone()),
            dispatcher: dispatcher.clone(),
            gate,
        }),
    };
    let (ready, is_ready) = watch::channel(false);
    let apart = settings.operations_listen.is_some();
    let state = ApiState::new(store.clone(), clock, settings.api, doors, metrics, is_ready);
    Ok(Host {
        store,
        dispatcher,
        router: api::router(state.clone(), !apart),
        operations: api::operations(state),
        ready,
    })
}

async fn master_key(
    settings: &ServerSettings,
    data_dir: &Path,
    store: &Store,
) -> Result<MasterKey, AppError> {
    let variable = std::env::var("EGRESSION_MASTER_KEY").ok();
    let file = settings.master_key_file.as_deref();
    let lost = file.is_none() && variable.is_none() && !MasterKey::is_in(data_dir);
    let sealed = store
        .count_secrets()
        .await
        .map_err(|e| cannot("store")(e.to_string()))?;
    if lost && sealed > 0 {
        let text = format!(
            "{} is gone, and the store holds {sealed} secrets that only it opens; put it back, or name another key with \
             `--master-key-file` and enter these secrets again",
            MasterKey::file_in(data_dir).display()
        );
        return Err(cannot("master key")(text));
    }
    MasterKey::load_or_create(data_dir, file, variable.as_deref())
        .map_err(|e| cannot("master key")(e.to_string()))
}

/// Makes the data directory for this user alone: bodies, hashes of keys and sealed secrets lie
/// there. One that is there already keeps the mode that somebody gave it.
fn create_private(data_dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(data_dir)
}

async fn open_registry(
    settings: &ServerSettings,
    data_dir: &Path,
    store: &Store,
    key: &MasterKey,
    clock: &Clock,
) -> Result<Arc<Registry>, AppError> {
    let mut bounds = settings.runtime.clone();
    bounds.cache_dir = data_dir.join("cache");
    bounds.cache_key = CacheKey(key.derive("compiled code"));
    let runtime =
        Runtime::start(bounds, clock.clone()).map_err(|e| cannot("runtime")(e.to_string()))?;
    let registry = Registry::open(runtime, Arc::new(store.clone()), data_dir)
        .await
        .map_err(|e| cannot("connectors")(e.to_string()))?;
    Ok(Arc::new(registry))
}

async fn open_configuration(
    store: &Store,
    vault: &Vault,
    registry: &Arc<Registry>,
    documents: Option<Documents>,
) -> Result<Arc<Configuration>, AppError> {
    let variables: crate::documents::configuration::Variables =
        Arc::new(|name: &str| std::env::var(name).ok());
    let configuration = Configuration::open(store.clone(), vault.clone(), variables)
        .await
        .map_err(|e| cannot("configuration")(e.to_string()))?
        .with_settings_check(settings_check(Arc::clone(registry)));
    // Only a file can say that a document vanished from it.
    if let Some(documents) = documents {
        configuration
            .apply_file(documents)
            .await
            .map_err(|e| cannot("configuration")(e.to_string()))?;
    }
    configuration
        .park_invalid_settings()
        .await
        .map_err(|e| cannot("configuration")(e.to_string()))?;
    Ok(Arc::new(configuration))
}

/// Hands the documents in force to the gate and the resolver.
fn configurer(
    configuration: &Arc<Configuration>,
    registry: &Arc<Registry>,
    gate: &Arc<Gate>,
    resolver: &Arc<Resolver>,
    warnings: ConfigWarnings,
) -> impl Fn() + Send + Sync + 'static {
    let (configuration, registry, gate, resolver) = (
        Arc::clone(configuration),
        Arc::clone(registry),
        Arc::clone(gate),
        Arc::clone(resolver),
    );
    move || {
        let catalogue = configuration.catalogue();
        warnings.log_new(&catalogue);
        gate.configure(destinations::all(&catalogue, &registry));
        resolver.configure(&catalogue);
    }
}

/// Follows the configuration; answers with a call that does the same for a change of the
/// connectors.
fn follow(
    configuration: &Arc<Configuration>,
    configure: impl Fn() + Send + Sync + 'static,
    dispatcher: Dispatcher,
) -> Arc<dyn Fn() + Send + Sync> {
    let nudge = Arc::new(tokio::sync::Notify::new());
    let mut documents = configuration.changed();
    let nudged = Arc::clone(&nudge);
    let configuration = Arc::clone(configuration);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = documents.changed() => if changed.is_err() { return },
                () = nudged.notified() => {}
            }
            documents.mark_unchanged();
            // A state that this changes wakes this loop once more, which then finds nothing to
            // change.
            if let Err(error) = configuration.park_invalid_settings().await {
                tracing::warn!(%error, "a connection's state could not be kept");
            }
            configure();
            dispatcher.configured().await;
        }
    });
    Arc::new(move || nudge.notify_one())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| AppError::Start(format!("cannot listen on {address}: {error}")))
}

/// One line on standard output that a script can wait for: `listening on http://127.0.0.1:8080`.
#[expect(
    clippy::print_stdout,
    reason = "the line is the command's answer: with port 0 nobody else knows the address"
)]
fn announce(what: &str, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        println!("{what} on http://{address}");
    }
}

async fn until_set(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// What asks the host to stop: kept from now on, so that it is not missed, and does not end the
/// process by itself.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_whose_store_takes_no_more_writes_stops_with_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Clock::system())
            .await
            .unwrap();
        the_end(std::future::ready(()), &store).await.unwrap();
        store.break_writer().await;
        let end = the_end(std::future::pending(), &store).await;
        assert!(matches!(end, Err(AppError::Writer)), "{end:?}");
    }
}
