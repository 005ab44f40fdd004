//! The API's doors to the scheduler and the connectors.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};

use crate::api::state::{Changed, ConnectorError, Connectors, Probe, Scheduling, WaitingGroup};
use crate::dispatch::{Dispatcher, View};
use crate::documents::configuration::Configuration;
use crate::gate::{Gate, Usage};
use crate::runtime::description::Description;
use crate::runtime::{InstallError, Registry};
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

#[async_trait]
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

    async fn check(&self, connection: ConnectionId) -> Option<Probe> {
        self.dispatcher.check(connection).await
    }

    fn job_waiting(&self, job: &JobRow, ahead: u32) -> Option<WaitingGroup> {
        let (kind, key, until) = self.view.job(job, ahead)?;
        Some(WaitingGroup {
            kind,
            key,
            until,
            jobs: 1,
        })
    }
}

/// Installs connectors, and lets the dispatcher know.
pub(super) struct RegistryDoor {
    pub(super) registry: Arc<Registry>,
    pub(super) configuration: Arc<Configuration>,
    /// Runs after each change of what is installed.
    pub(super) changed: Arc<dyn Fn() + Send + Sync>,
}

impl RegistryDoor {
    /// The connections whose settings do not fit the versions in use now, those of this connector;
    /// they are parked.
    async fn misfits(&self, connector: &str) -> Vec<String> {
        let catalogue = self.configuration.catalogue();
        let uses = |channel: &str| {
            catalogue
                .channel(channel)
                .is_some_and(|channel| channel.document.connector == connector)
        };
        match self.configuration.park_invalid_settings().await {
            Ok(misfits) => misfits
                .iter()
                .filter(|misfit| uses(&misfit.channel))
                .map(ToString::to_string)
                .collect(),
            Err(error) => {
                tracing::warn!(%error, connector, "connections whose settings do not fit could not be parked");
                Vec::new()
            }
        }
    }
}

#[async_trait]
impl Connectors for RegistryDoor {
    async fn install(&self, component: Bytes, activate: bool) -> Result<Changed, ConnectorError> {
        let installed = self
            .registry
            .install(component, activate)
            .await
            .map_err(refused)?;
        let mut differences = installed.differences;
        differences.extend(self.misfits(&installed.name).await);
        (self.changed)();
        let row = self.registry.row(&installed.name, &installed.version);
        let row = row.ok_or_else(|| {
            ConnectorError::Internal("the version that was just installed is not listed".to_owned())
        })?;
        Ok(Changed { row, differences })
    }

    async fn activate(
        &self,
        name: &str,
        version: &str,
    ) -> Result<Option<Vec<String>>, ConnectorError> {
        let mut differences = self.registry.differences(name, version);
        if !self
            .registry
            .activate(name, version)
            .await
            .map_err(refused)?
        {
            return Ok(None);
        }
        differences.extend(self.misfits(name).await);
        (self.changed)();
        Ok(Some(differences))
    }

    fn description(&self, name: &str, pin: Option<&str>) -> Option<Arc<Description>> {
        self.registry.description(name, pin)
    }
}

fn refused(error: InstallError) -> ConnectorError {
    match error {
        InstallError::Store(error) => ConnectorError::Store(error),
        other => ConnectorError::Refused {
            code: other.code().to_owned(),
            detail: other.to_string(),
        },
    }
}
