//! The API's ports to the scheduler and the connectors.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use egression_core::domain::ids::{ConnectionId, ExecutionSeq};

use crate::api::{Changed, ConnectorError, Connectors, Scheduling};
use crate::delivery::Probe;
use crate::dispatch::{Dispatcher, View, WaitingGroup};
use crate::documents::configuration::Configuration;
use crate::gate::{Gate, Usage};
use crate::runtime::description::Description;
use crate::runtime::{InstallError, Registry};
use crate::store::rows::{Changes, ExecutionStatus, JobRow};

/// Notifies the dispatcher and reads its view.
pub(super) struct DispatchPort {
    pub(super) dispatcher: Dispatcher,
    pub(super) view: View,
    pub(super) gate: Arc<Gate>,
}

impl DispatchPort {
    fn notify<F>(&self, message: impl FnOnce(Dispatcher) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(message(self.dispatcher.clone()));
    }
}

#[async_trait]
impl Scheduling for DispatchPort {
    fn wake(&self, execution: ExecutionSeq) {
        self.notify(move |dispatcher| async move { dispatcher.sealed(execution).await });
    }

    fn changed(&self, changes: Changes) {
        self.notify(move |dispatcher| async move { dispatcher.changed(changes).await });
    }

    fn paused(&self, execution: ExecutionSeq, paused: bool) {
        self.notify(move |dispatcher| async move { dispatcher.paused(execution, paused).await });
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

/// Installs and activates connectors.
pub(super) struct RegistryPort {
    pub(super) registry: Arc<Registry>,
    pub(super) configuration: Arc<Configuration>,
    /// Runs after each change of the installed connectors.
    pub(super) changed: Arc<dyn Fn() + Send + Sync>,
}

impl RegistryPort {
    /// Parks all connections whose settings do not fit; reports those of this connector.
    async fn park_invalid_settings(&self, connector: &str) -> Vec<String> {
        let catalogue = self.configuration.catalogue();
        let uses = |channel: &str| {
            catalogue
                .channel(channel)
                .is_some_and(|channel| channel.document.connector == connector)
        };
        match self.configuration.park_invalid_settings().await {
            Ok(invalid) => invalid
                .iter()
                .filter(|invalid| uses(&invalid.channel))
                .map(ToString::to_string)
                .collect(),
            Err(error) => {
                tracing::warn!(
                    %error,
                    connector,
                    "connections with invalid settings could not be parked"
                );
                Vec::new()
            }
        }
    }
}

#[async_trait]
impl Connectors for RegistryPort {
    async fn install(&self, component: Bytes, activate: bool) -> Result<Changed, ConnectorError> {
        let installed = self
            .registry
            .install(component, activate)
            .await
            .map_err(refused)?;
        let mut differences = installed.differences;
        differences.extend(self.park_invalid_settings(&installed.name).await);
        (self.changed)();
        let row = self.registry.row(&installed.name, &installed.version);
        let row = row.ok_or_else(|| {
            ConnectorError::Internal("the installed version is not listed".to_owned())
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
        differences.extend(self.park_invalid_settings(name).await);
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
