//! The state that all handlers share: the parts of the host, and the limits per caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use super::intake::idempotency::Receiving;
use super::middleware::keyed_limit::KeyedLimit;
use super::middleware::quota::Quotas;
use super::settings::ApiSettings;
use crate::clock::Clock;
use crate::dispatch::{Dispatcher, View};
use crate::documents::configuration::Configuration;
use crate::gate::Gate;
use crate::runtime::Registry;
use crate::store::Store;
use crate::telemetry::exposition::Exposition;

#[derive(Clone)]
pub struct ApiState {
    /// For temporary files.
    pub data_dir: Arc<Path>,
    pub store: Store,
    pub clock: Clock,
    pub settings: Arc<ApiSettings>,
    pub configuration: Arc<Configuration>,
    pub registry: Arc<Registry>,
    /// Notified after each change of the installed connectors.
    pub connectors_changed: Arc<Notify>,
    pub dispatcher: Dispatcher,
    pub gate: Arc<Gate>,
    /// Renders `/metrics`; `None`: 404.
    pub metrics: Option<Exposition>,
    /// True from the start of the host until it stops (`/readyz`).
    pub ready: watch::Receiver<bool>,
    /// Idempotency keys whose first request is being received.
    pub receiving: Arc<Receiving>,
    /// One permit per request.
    pub requests: Arc<Semaphore>,
    /// One permit per submission.
    pub submissions: Arc<Semaphore>,
    /// Concurrent requests per caller.
    pub request_limit: Arc<KeyedLimit>,
    /// `None`: there is no quota.
    pub quotas: Option<Arc<Quotas>>,
    /// Concurrent submissions per caller.
    pub submission_limit: Arc<KeyedLimit>,
    /// Concurrent waits per caller.
    pub wait_limit: Arc<KeyedLimit>,
}

/// The parts of the host that the API uses.
pub struct HostParts {
    pub data_dir: PathBuf,
    pub configuration: Arc<Configuration>,
    pub registry: Arc<Registry>,
    pub connectors_changed: Arc<Notify>,
    pub dispatcher: Dispatcher,
    pub gate: Arc<Gate>,
}

impl ApiState {
    pub fn new(
        store: Store,
        clock: Clock,
        settings: ApiSettings,
        parts: HostParts,
        metrics: Option<Exposition>,
        ready: watch::Receiver<bool>,
    ) -> Self {
        let permits = |n: u32| Arc::new(Semaphore::new((n as usize).min(Semaphore::MAX_PERMITS)));
        let quotas = Quotas::new(
            settings.quota_requests,
            settings.quota_window_ms,
            clock.mono(),
        )
        .map(Arc::new);
        Self {
            data_dir: parts.data_dir.into(),
            store,
            clock,
            quotas,
            requests: permits(settings.request_concurrency),
            submissions: permits(settings.receive_concurrency),
            request_limit: KeyedLimit::new(settings.requests_per_key),
            submission_limit: KeyedLimit::new(settings.receive_per_key),
            wait_limit: KeyedLimit::new(settings.waits_per_key),
            settings: Arc::new(settings),
            configuration: parts.configuration,
            registry: parts.registry,
            connectors_changed: parts.connectors_changed,
            dispatcher: parts.dispatcher,
            gate: parts.gate,
            metrics,
            ready,
            receiving: Arc::default(),
        }
    }

    /// Why jobs wait, as the scheduler sees it.
    pub fn view(&self) -> View {
        self.dispatcher.view(self.clock.clone())
    }
}
