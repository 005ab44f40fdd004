//! The state that all handlers share: the store, the clock, the bounds, the documents, and the
//! host's connectors and scheduler.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};
use tokio::sync::{Semaphore, watch};

use super::http::problem::ApiError;
use super::intake::idempotency::Receiving;
use super::middleware::keyed_limit::KeyedLimit;
use super::middleware::quota::Quotas;
use super::settings::ApiSettings;
use crate::clock::Clock;
use crate::delivery::Probe;
use crate::dispatch::WaitingGroup;
use crate::documents::configuration::Configuration;
use crate::gate::Usage;
use crate::runtime::description::Description;
use crate::store::connectors::ConnectorRow;
use crate::store::rows::{Changes, ExecutionStatus, JobRow};
use crate::store::{Store, StoreError};
use crate::telemetry::exposition::Exposition;

/// Why a connector was not installed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// It breaks a rule. The active version is unchanged.
    #[error("{detail}")]
    Refused {
        /// `not_a_component`, `wrong_world`, `import_not_granted`, `describe_failed`,
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
    /// Differences to the version that was active before, and connections whose settings are invalid
    /// now, one sentence each.
    pub differences: Vec<String>,
}

/// The installed connectors.
#[async_trait]
pub trait Connectors: Send + Sync {
    /// Validates and stores a component. `activate`: new calls use it.
    async fn install(&self, component: Bytes, activate: bool) -> Result<Changed, ConnectorError>;
    /// Activates an installed version and returns the differences. `None`: it is not installed.
    async fn activate(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Vec<String>>, ConnectorError>;
    /// The description of a connector: of its active version, or of the newest that matches the pin.
    fn description(&self, name: &str, pin: Option<&str>) -> Option<Arc<Description>>;
}

/// The scheduler.
#[async_trait]
pub trait Scheduling: Send + Sync {
    /// An execution was sealed.
    fn wake(&self, execution: ExecutionSeq);
    /// A person changed jobs: forget the cancelled ones and look at the freed keys.
    fn changed(&self, changes: Changes);
    /// An execution was paused or resumed.
    fn paused(&self, execution: ExecutionSeq, paused: bool);
    /// What the waiting jobs of an execution wait for, by connection. The groups add up to the
    /// waiting jobs.
    fn waiting(&self, status: &ExecutionStatus) -> Vec<(ConnectionId, Vec<WaitingGroup>)>;
    /// How much of its limits a connection has used since the host started. `None`: unknown.
    fn limit_used(&self, connection: ConnectionId) -> Option<Usage>;
    /// Checks a connection, and reopens it if it was closed and works. `None`: it does not exist, or
    /// the host is stopping.
    async fn check(&self, connection: ConnectionId) -> Option<Probe>;
    /// What one waiting job waits for.
    fn job_waiting(&self, job: &JobRow, ahead: u32) -> Option<WaitingGroup>;
}

#[derive(Clone)]
pub struct ApiState {
    pub store: Store,
    pub clock: Clock,
    pub settings: Arc<ApiSettings>,
    pub configuration: Arc<Configuration>,
    pub connectors: Arc<dyn Connectors>,
    pub scheduling: Arc<dyn Scheduling>,
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

pub struct Doors {
    pub configuration: Arc<Configuration>,
    pub connectors: Arc<dyn Connectors>,
    pub scheduling: Arc<dyn Scheduling>,
}

impl ApiState {
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
