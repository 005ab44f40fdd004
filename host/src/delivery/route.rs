//! The way to a connection's destination: its documents, its connector and its place at the gate.

use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, Owner};
use egression_core::domain::judge::Credential;
use egression_core::domain::problem::Problem;

use crate::documents::catalogue::{Catalogue, ConnectionState, UNLISTED};
use crate::documents::configuration::{Configuration, NEEDS_REENTRY};
use crate::documents::invalid_settings::SETTINGS_INVALID;
use crate::documents::model::{AuthDocument, ChannelDocument, ConnectionDocument};
use crate::gate::{Destination, Gate};
use crate::runtime::{Connector, Description, Registry};

/// The contract's name of the optional interface that tells whether lost sends arrived.
const RECONCILIATION: &str = "reconciliation";

/// Everything that a call on a connection needs, as configured when the call began.
#[derive(Clone, Debug)]
pub struct Route {
    pub connection: ConnectionId,
    pub channel: Arc<ChannelDocument>,
    pub document: Arc<ConnectionDocument>,
    pub connector: Arc<Connector>,
    pub destination: Arc<Destination>,
}

impl Route {
    pub fn description(&self) -> &Description {
        self.connector.description()
    }

    /// Whether the connector can tell if a send arrived whose answer was lost.
    pub fn reconciles(&self) -> bool {
        self.description()
            .optional_exports
            .iter()
            .any(|name| name == RECONCILIATION)
    }

    /// What the calls carry to show whose they are.
    pub fn credential(&self) -> Credential {
        match &self.document.auth {
            Some(AuthDocument::Connector { .. }) => Credential::Session,
            Some(AuthDocument::OAuth2ClientCredentials { .. }) => Credential::Token,
            None | Some(AuthDocument::None | AuthDocument::Bearer { .. }) => Credential::Entered,
        }
    }
}

/// Why a connection cannot be called.
#[derive(Debug)]
pub enum NoRoute {
    /// The connection, or a part of it, is not configured; the configuration tells the scheduler.
    Removed,
    /// The connection is configured, but its connector cannot be loaded.
    NotLoaded(Box<Problem>),
}

/// Finds the routes of connections.
#[derive(Clone, Debug)]
pub struct Routes {
    configuration: Arc<Configuration>,
    registry: Arc<Registry>,
    gate: Arc<Gate>,
}

impl Routes {
    pub fn new(
        configuration: Arc<Configuration>,
        registry: Arc<Registry>,
        gate: Arc<Gate>,
    ) -> Self {
        Self {
            configuration,
            registry,
            gate,
        }
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.configuration.catalogue()
    }

    pub async fn find(&self, connection: ConnectionId) -> Result<Route, NoRoute> {
        let catalogue = self.catalogue();
        let entry = catalogue
            .connection_by_id(connection)
            .ok_or(NoRoute::Removed)?;
        let channel = &entry.channel.document;
        let connector = self
            .registry
            .connector(&channel.connector, channel.version.as_deref())
            .await;
        let Some(connector) = connector else {
            let message = format!(
                "the connector {} cannot be loaded; the host's log says why",
                channel.connector
            );
            let problem = Problem::new("connector.not_loaded", message);
            return Err(NoRoute::NotLoaded(Box::new(problem)));
        };
        let owner = Owner::Connection(connection);
        Ok(Route {
            connection,
            channel: Arc::new(channel.clone()),
            document: Arc::new(entry.document.clone()),
            connector,
            destination: self.gate.destination(owner).ok_or(NoRoute::Removed)?,
        })
    }

    /// Why the connection must not be used as configured, whatever its connector says.
    pub async fn refusal(&self, route: &Route) -> Option<Problem> {
        let catalogue = self.catalogue();
        let state = catalogue
            .connection_by_id(route.connection)
            .map(|found| &found.state);
        if matches!(state, Some(ConnectionState::Parked { reason }) if reason == NEEDS_REENTRY) {
            // A check that passes says nothing about a credential that was entered for other hosts.
            return Some(Problem::new("credential.other_hosts", NEEDS_REENTRY));
        }
        if matches!(state, Some(ConnectionState::Parked { reason }) if reason == UNLISTED) {
            return Some(Problem::new("connection.unlisted", UNLISTED));
        }
        // The connector's own check may not look at every setting.
        let issues = self
            .configuration
            .settings_issues(&route.channel, &route.document)
            .await;
        let issue = issues.into_iter().next()?;
        Some(Problem::new(SETTINGS_INVALID, issue.detail).at(issue.pointer))
    }
}
