//! Starts the parts in the order of their dependencies.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::metrics_sampler::sampler;
use super::settings_check::settings_check;
use super::{AppError, destinations, retention, start_error};
use crate::api::{self, ApiState, HostParts, Routes, first_key};
use crate::clock::Clock;
use crate::delivery::{Deliverer, DeliveryParts};
use crate::dispatch::{Dispatcher, Parts};
use crate::documents::configuration::{Configuration, Variables};
use crate::documents::model::Documents;
use crate::gate::Gate;
use crate::resolver::Resolver;
use crate::rng::Rng;
use crate::runtime::{CacheKey, Registry, Runtime};
use crate::settings::server::ServerSettings;
use crate::store::Store;
use crate::telemetry::exposition::Recorder;
use crate::vault::{MasterKey, Vault};

/// A started host, ready to serve.
pub(super) struct Host {
    pub(super) store: Store,
    pub(super) dispatcher: Dispatcher,
    pub(super) api: Routes,
    /// Health and metrics at their own address.
    pub(super) operations: Routes,
    pub(super) ready: watch::Sender<bool>,
}

pub(super) async fn start(
    settings: ServerSettings,
    documents: Option<Documents>,
) -> Result<Host, AppError> {
    // First, because earlier measurements would be lost.
    let recorder = Recorder::install();
    let (clock, rng) = (Clock::system(), Rng::system());
    let data_dir = settings.data_dir.clone();
    create_private(&data_dir)
        .map_err(|e| start_error("data directory")(format!("{}: {e}", data_dir.display())))?;
    let store = Store::open_with(&data_dir, clock.clone(), settings.store)
        .await
        .map_err(start_error("store"))?;
    let key = master_key(&settings, &data_dir, &store).await?;
    let vault = Vault::new(&key, store.clone(), clock.clone());
    if let Some(file) = first_key::ensure(&store, &clock, &data_dir)
        .await
        .map_err(start_error("admin key"))?
    {
        tracing::info!(path = %file.display(), "admin key created");
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
    .map_err(start_error("gate"))?;
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
    let configure = configurer(&configuration, &registry, &gate, &resolver);
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
        .map_err(start_error("dispatcher"))?;
    let connectors_changed = watch_configuration(&configuration, configure, dispatcher.clone());
    let loading = Arc::clone(&registry);
    tokio::spawn(async move { loading.load_active().await });
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
    let parts = HostParts {
        data_dir,
        configuration,
        registry,
        connectors_changed,
        dispatcher: dispatcher.clone(),
        gate,
    };
    let (ready, is_ready) = watch::channel(false);
    let apart = settings.operations_listen.is_some();
    let state = ApiState::new(store.clone(), clock, settings.api, parts, metrics, is_ready);
    Ok(Host {
        store,
        dispatcher,
        api: Routes {
            within_bounds: api::router(state.clone(), !apart),
            beyond_bounds: api::beyond_bounds(state.clone(), !apart),
        },
        operations: Routes {
            within_bounds: api::operations(state.clone()),
            beyond_bounds: api::operations_beyond_bounds(state),
        },
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
    let sealed = store.count_secrets().await.map_err(start_error("store"))?;
    if lost && sealed > 0 {
        let text = format!(
            "{} is missing, and the store has {sealed} secrets encrypted with it; restore the \
             file, or pass another key with `--master-key-file` and enter these secrets again",
            MasterKey::file_in(data_dir).display()
        );
        return Err(start_error("master key")(text));
    }
    MasterKey::load_or_create(data_dir, file, variable.as_deref())
        .map_err(start_error("master key"))
}

/// Creates the data directory for this user only, because it contains bodies, hashes of keys and
/// encrypted secrets. An existing directory keeps its mode.
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
    let runtime = Runtime::start(bounds, clock.clone()).map_err(start_error("runtime"))?;
    let registry = Registry::open(runtime, store.clone(), data_dir)
        .await
        .map_err(start_error("connectors"))?;
    Ok(Arc::new(registry))
}

async fn open_configuration(
    store: &Store,
    vault: &Vault,
    registry: &Arc<Registry>,
    documents: Option<Documents>,
) -> Result<Arc<Configuration>, AppError> {
    let variables: Variables = Arc::new(|name: &str| std::env::var(name).ok());
    let configuration = Configuration::open(store.clone(), vault.clone(), variables)
        .await
        .map_err(start_error("configuration"))?
        .with_settings_check(settings_check(Arc::clone(registry)));
    // Without a file, the documents of an earlier file stay.
    if let Some(documents) = documents {
        configuration
            .apply_file(documents)
            .await
            .map_err(start_error("configuration"))?;
    }
    Ok(Arc::new(configuration))
}

/// Returns a function that passes the documents in force to the gate and the resolver.
fn configurer(
    configuration: &Arc<Configuration>,
    registry: &Arc<Registry>,
    gate: &Arc<Gate>,
    resolver: &Arc<Resolver>,
) -> impl Fn() + Send + Sync + 'static {
    let (configuration, registry, gate, resolver) = (
        Arc::clone(configuration),
        Arc::clone(registry),
        Arc::clone(gate),
        Arc::clone(resolver),
    );
    move || {
        let catalogue = configuration.catalogue();
        gate.configure(destinations::all(&catalogue, &registry));
        resolver.configure(&catalogue);
    }
}

/// Applies the configuration, and each change of it. The returned handle does the same after a
/// change of the connectors. What is in force is judged while the host serves: a schema or settings
/// that take their time delay the first calls, and neither the start nor the end of the host.
fn watch_configuration(
    configuration: &Arc<Configuration>,
    configure: impl Fn() + Send + Sync + 'static,
    dispatcher: Dispatcher,
) -> Arc<Notify> {
    let connectors_changed = Arc::new(Notify::new());
    let mut documents = configuration.changed();
    let notified = Arc::clone(&connectors_changed);
    let configuration = Arc::clone(configuration);
    tokio::spawn(async move {
        loop {
            documents.mark_unchanged();
            // A changed state wakes this loop once more; that round finds nothing to change.
            if let Err(error) = configuration.park_invalid_settings().await {
                tracing::warn!(%error, "a connection's state could not be stored");
            }
            configure();
            dispatcher.configured().await;
            tokio::select! {
                changed = documents.changed() => if changed.is_err() { return },
                () = notified.notified() => {}
            }
        }
    });
    connectors_changed
}
