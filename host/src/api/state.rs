//! What the handlers need: the store, the clock, the bounds, and the configuration, and two doors
//! to the rest of the host.
//!
//! The doors are traits so that the API knows neither the runtime nor the scheduler. `app.rs` puts
//! the real ones in.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use tokio::sync::{Semaphore, watch};

use crate::api::intake::idempotency::Receiving;
use crate::api::http::problem::ApiError;
use crate::api::middleware::quota::Quotas;
use crate::api::settings::ApiSettings;
use crate::api::middleware::keyed_limit::KeyedLimit;
use crate::clock::Clock;
pub use crate::delivery::Probe;
pub use crate::dispatch::WaitingGroup;
use crate::documents::configuration::Configuration;
use crate::gate::Usage;
use crate::runtime::description::Description;
use crate::store::connectors::ConnectorRow;
use crate::store::rows::{Changes, ExecutionStatus, JobRow};
use crate::store::{Store, StoreError};
use crate::telemetry::exposition::Exposition;

/// Why a connector was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// It breaks a rule; the running version is untouched.
    #[error("{detail}")]
    Refused {
        /// Which rule: `not_a_component`, `wrong_world`, `import_not_granted`, `describe_failed`,
        /// `trial_failed` …
        code: String,
        detail: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Internal(String),
}

impl From<ConnectorError> for ApiError {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::Refused { code, detail } => Self::ConnectorRefused { code, detail },
            ConnectorError::Store(error) => error.into(),
            ConnectorError::Internal(reason) => Self::Internal(reason),
        }
    }
}

/// A version that was installed.
#[derive(Clone, Debug)]
pub struct Changed {
    pub row: ConnectorRow,
    /// What it needs and offers other than the active version before it, and connections whose
    /// settings do not fit, one sentence each.
    pub differences: Vec<String>,
}

/// The door to the installed connectors.
#[async_trait]
pub trait Connectors: Send + Sync {
    /// Validates and stores a component. `activate`: new calls go to it.
    async fn install(&self, component: Bytes, activate: bool) -> Result<Changed, ConnectorError>;
    /// Makes an installed version the active one, and says what that changes; none if it is not
    /// installed.
    async fn activate(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Vec<String>>, ConnectorError>;
    /// What a connector (its active version, or the newest that fits the pin) says about itself.
    fn description(&self, name: &str, pin: Option<&str>) -> Option<Arc<Description>>;
}

/// The door to the scheduler.
#[async_trait]
pub trait Scheduling: Send + Sync {
    /// A new execution is sealed.
    fn wake(&self, execution: ExecutionSeq);
    /// Jobs were changed by a person: cancelled ones are to be forgotten, freed keys looked at.
    fn changed(&self, changes: Changes);
    /// An execution was paused or resumed.
    fn paused(&self, execution: ExecutionSeq, paused: bool);
    /// What the waiting jobs of an execution wait for, per connection. Together they are the
    /// waiting jobs.
    fn waiting(&self, status: &ExecutionStatus) -> Vec<(ConnectionId, Vec<WaitingGroup>)>;
    /// How much of its limits a connection has used since the host started; none if it is not
    /// known.
    fn limit_used(&self, connection: ConnectionId) -> Option<Usage>;
    /// Checks a connection, and lets it go on if it was closed and works; none if it is gone, or
    /// the host is stopping.
    async fn check(&self, connection: ConnectionId) -> Option<Probe>;
    /// What one waiting job waits for.
    fn job_waiting(&self, job: &JobRow, ahead: u32) -> Option<WaitingGroup>;
}

/// What the router is made with.
#[derive(Clone)]
pub struct ApiState {
    pub store: Store,
    pub clock: Clock,
    pub settings: Arc<ApiSettings>,
    pub configuration: Arc<Configuration>,
    pub connectors: Arc<dyn Connectors>,
    pub scheduling: Arc<dyn Scheduling>,
    /// Renders `/metrics`; none: 404.
    pub metrics: Option<Exposition>,
    /// True once the host has started and until it stops: `/readyz`.
    pub ready: watch::Receiver<bool>,
    /// Idempotency keys whose first request is still being received.
    pub receiving: Arc<Receiving>,
    /// A permit per request being served.
    pub requests: Arc<Semaphore>,
    /// A permit per submission being received.
    pub submissions: Arc<Semaphore>,
    /// What each caller has of the requests being served.
    pub request_limit: Arc<KeyedLimit>,
    /// What each caller has left of its quota; none: there is no quota.
    pub quotas: Option<Arc<Quotas>>,
    /// What each caller has of the submissions being received.
    pub submission_limit: Arc<KeyedLimit>,
    /// What each caller has of the waits under way.
    pub wait_limit: Arc<KeyedLimit>,
}

/// The doors, put together by `app.rs`.
pub struct Doors {
    pub configuration: Arc<Configuration>,
    pub connectors: Arc<dyn Connectors>,
    pub scheduling: Arc<dyn Scheduling>,
}

impl ApiState {
    /// A state with nothing under way.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        settings: ApiSettings,
        doors: Doors,
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
            store,
            clock,
            quotas,
            requests: permits(settings.request_concurrency),
            submissions: permits(settings.receive_concurrency),
            request_limit: KeyedLimit::new(settings.requests_per_key),
            submission_limit: KeyedLimit::new(settings.receive_per_key),
            wait_limit: KeyedLimit::new(settings.waits_per_key),
            settings: Arc::new(settings),
            configuration: doors.configuration,
            connectors: doors.connectors,
            scheduling: doors.scheduling,
            metrics,
            ready,
            receiving: Arc::default(),
        }
    }
}
