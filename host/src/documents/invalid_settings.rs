//! Whether a connection's settings fit what its connector asks for.
//!
//! A connector that is not installed yet says nothing about settings, so its connections may be
//! written first. What is written through the API must fit. Where the ground moves under what is
//! written (another version is activated, the channel takes another connector, a file is loaded at
//! start) the connection is parked until it fits again: its jobs wait, and nothing fails.

use egression_core::domain::ids::ConnectionId;
use serde_json::Value;

use super::catalogue::{Connection, ConnectionState};
use super::configuration::Configuration;
use super::model::{ChannelDocument, ConnectionDocument};
use super::validate::Issue;
use crate::store::StoreError;

/// How the reason begins of a connection that is parked because its settings do not fit.
pub const SETTINGS_INVALID: &str = "settings-invalid";

/// The settings schemas of the installed connectors.
pub trait SettingsSchemas: Send + Sync {
    /// What does not fit, with pointers into the settings; nothing if the connector is not
    /// installed. `pin`: as in a channel.
    fn misfits(&self, connector: &str, pin: Option<&str>, settings: &Value) -> Vec<Issue>;
}

/// A connection whose settings do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub channel: String,
    pub subscription: String,
    /// What does not fit, with pointers into the connection.
    pub issues: Vec<Issue>,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the settings of `{}` in the channel `{}` do not fit: {}",
            self.subscription,
            self.channel,
            told(&self.issues)
        )
    }
}

impl Configuration {
    /// What does not fit in a connection's settings, with pointers into the connection.
    #[must_use]
    pub fn settings_issues(
        &self,
        channel: &ChannelDocument,
        connection: &ConnectionDocument,
    ) -> Vec<Issue> {
        let Some(schemas) = &self.schemas else {
            return Vec::new();
        };
        let issues = schemas.misfits(
            &channel.connector,
            channel.version.as_deref(),
            &connection.settings,
        );
        issues
            .into_iter()
            .map(|issue| issue.under("/settings"))
            .collect()
    }

    /// Parks the connections whose settings do not fit, and frees those that were parked for that
    /// and fit now. All that do not fit, whatever their state.
    pub async fn judge_settings(&self) -> Result<Vec<Misfit>, StoreError> {
        let catalogue = self.catalogue();
        let mut misfits = Vec::new();
        for connection in catalogue.connections() {
            let issues = self.settings_issues(&connection.channel.document, &connection.document);
            // What was read may be old by now: a person may have paused it, or its document is
            // another one.
            if let Some(state) = next_state(connection, &issues)
                && self
                    .keep_connection_state(connection.id, &state, Some(&connection.state))
                    .await?
            {
                note(connection.id, connection, &state);
            }
            if !issues.is_empty() {
                let (channel, subscription) = (
                    connection.document.channel.clone(),
                    connection.document.subscription.clone(),
                );
                misfits.push(Misfit {
                    channel,
                    subscription,
                    issues,
                });
            }
        }
        Ok(misfits)
    }
}

/// The state that the settings ask for, if it is another one. What a person paused and what is
/// parked for another reason stays.
fn next_state(connection: &Connection, issues: &[Issue]) -> Option<ConnectionState> {
    let wanted = format!("{SETTINGS_INVALID}: {}", told(issues));
    match (&connection.state, issues.is_empty()) {
        (ConnectionState::Active, false) => Some(ConnectionState::Parked { reason: wanted }),
        (ConnectionState::Parked { reason }, false)
            if reason.starts_with(SETTINGS_INVALID) && *reason != wanted =>
        {
            Some(ConnectionState::Parked { reason: wanted })
        }
        (ConnectionState::Parked { reason }, true) if reason.starts_with(SETTINGS_INVALID) => {
            Some(ConnectionState::Active)
        }
        _ => None,
    }
}

fn note(id: ConnectionId, connection: &Connection, state: &ConnectionState) {
    let (channel, subscription) = (
        &connection.document.channel,
        &connection.document.subscription,
    );
    match state.reason() {
        Some(reason) => {
            tracing::warn!(connection = %id, channel, subscription, reason, "connection parked")
        }
        None => tracing::info!(connection = %id, channel, subscription, "the settings fit again"),
    }
}

/// The issues in one line.
fn told(issues: &[Issue]) -> String {
    issues
        .iter()
        .map(|issue| format!("{}: {}", issue.pointer, issue.detail))
        .collect::<Vec<_>>()
        .join("; ")
}
