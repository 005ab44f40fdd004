//! The API's doors to the scheduler and the connectors.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};

use crate::api::state::{ConnectorError, Connectors, Scheduling, WaitingGroup};
use crate::dispatch::{Dispatcher, View};
use crate::gate::{Gate, Usage};
use crate::runtime::description::Description;
use crate::runtime::{InstallError, Registry};
use crate::store::connectors::ConnectorRow;
use crate::store::rows::{Changes, ExecutionStatus, JobRow};

/// Tells the dispatcher, and asks its view.
pub(super) struct DispatchDoor {
    pub(super) dispatcher: Dispatcher,
    pub(super) view: View,
    pub(super) gate: Arc<Gate>,
}

impl DispatchDoor {
    fn tell<F>(&self, message: impl FnOnce(Dispatcher) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(message(self.dispatcher.clone()));
    }
}

impl Scheduling for DispatchDoor {
    fn wake(&self, execution: ExecutionSeq) {
        self.tell(move |dispatcher| async move { dispatcher.sealed(execution).await });
    }

    fn changed(&self, changes: Changes) {
        self.tell(move |dispatcher| async move { dispatcher.changed(changes).await });
    }

    fn paused(&self, execution: ExecutionSeq, paused: bool) {
        self.tell(move |dispatcher| async move { dispatcher.paused(execution, paused).await });
    }

    fn waiting(&self, status: &ExecutionStatus) -> Vec<(ConnectionId, Vec<WaitingGroup>)> {
        self.view.waiting(status)
    }

    fn limit_used(&self, connection: ConnectionId) -> Option<Usage> {
        self.gate.usage(&format!("connection:{connection}"))
    }

    fn job_waiting(&self, job: &JobRow, ahead: u32) -> Option<WaitingGroup> {
        let (kind, key, until) = self.view.job(job, ahead)?;
        Some(WaitingGroup { kind, key, until, jobs: 1 })
    }
}

/// Installs connectors, and lets the dispatcher know.
pub(super) struct RegistryDoor {
    pub(super) registry: Arc<Registry>,
    /// Runs after each change of what is installed.
    pub(super) changed: Arc<dyn Fn() + Send + Sync>,
}

#[async_trait]
impl Connectors for RegistryDoor {
    async fn install(&self, component: Bytes, activate: bool) -> Result<ConnectorRow, ConnectorError> {
        let installed = self.registry.install(component, activate).await.map_err(refused)?;
        (self.changed)();
        self.registry
            .row(&installed.name, &installed.version)
            .ok_or_else(|| ConnectorError::Internal("the version that was just installed is not listed".to_owned()))
    }

    async fn activate(&self, name: &str, version: &str) -> Result<bool, ConnectorError> {
        let known = self.registry.activate(name, version).await.map_err(refused)?;
        (self.changed)();
        Ok(known)
    }

    fn description(&self, name: &str, pin: Option<&str>) -> Option<Arc<Description>> {
        self.registry.description(name, pin)
    }
}

fn refused(error: InstallError) -> ConnectorError {
    match error {
        InstallError::Store(error) => ConnectorError::Store(error),
        other => ConnectorError::Refused { code: other.code().to_owned(), detail: other.to_string() },
    }
}
