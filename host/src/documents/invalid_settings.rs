//! Parks connections whose settings do not fit their connector's schema.
//!
//! A connector that is not installed has no schema, so its connections may be written first. The
//! API refuses settings that do not fit. If settings stop fitting later (another version is
//! activated, the channel changes its connector, a file is loaded at start), the connection is
//! parked until they fit again: its jobs wait and none fails.

use super::catalogue::{Connection, ConnectionState};
use super::configuration::Configuration;
use super::validate::Issue;
use crate::store::StoreError;

/// The beginning of the reason of a connection that is parked because of its settings.
pub const SETTINGS_INVALID: &str = "settings-invalid";

/// A connection whose settings do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings {
    pub channel: String,
    pub subscription: String,
    /// The pointers begin at the connection.
    pub issues: Vec<Issue>,
}

impl std::fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "invalid settings of connection `{}/{}`: {}",
            self.subscription,
            self.channel,
            summary(&self.issues)
        )
    }
}

impl Configuration {
    /// Parks the connections whose settings do not fit, and activates those that were parked for
    /// this reason and fit again. Returns all connections that do not fit, in any state.
    pub async fn park_invalid_settings(&self) -> Result<Vec<InvalidSettings>, StoreError> {
        let catalogue = self.catalogue();
        let mut invalid = Vec::new();
        for connection in catalogue.connections() {
            let issues = self
                .settings_issues(&connection.channel.document, &connection.document)
                .await;
            // The snapshot may be stale: a person may have paused the connection in the meantime.
            if let Some(state) = next_state(connection, &issues)
                && self
                    .keep_connection_state(connection.id, &state, Some(&connection.state))
                    .await?
            {
                log(connection, &state);
            }
            if !issues.is_empty() {
                invalid.push(InvalidSettings {
                    channel: connection.document.channel.clone(),
                    subscription: connection.document.subscription.clone(),
                    issues,
                });
            }
        }
        Ok(invalid)
    }
}

/// The state that follows from the settings, if it differs from the current one. A connection that
/// a person paused, or that is parked for another reason, keeps its state.
fn next_state(connection: &Connection, issues: &[Issue]) -> Option<ConnectionState> {
    let reason = format!("{SETTINGS_INVALID}: {}", summary(issues));
    match (&connection.state, issues.is_empty()) {
        (ConnectionState::Active, false) => Some(ConnectionState::Parked { reason }),
        (ConnectionState::Parked { reason: current }, fits)
            if current.starts_with(SETTINGS_INVALID) =>
        {
            if fits {
                Some(ConnectionState::Active)
            } else {
                (*current != reason).then_some(ConnectionState::Parked { reason })
            }
        }
        _ => None,
    }
}

fn log(connection: &Connection, state: &ConnectionState) {
    let connection = connection.label();
    match state.reason() {
        Some(reason) => tracing::warn!(connection, reason, "connection parked"),
        None => tracing::info!(connection, "connection activated: its settings fit again"),
    }
}

/// The issues in one line.
fn summary(issues: &[Issue]) -> String {
    issues
        .iter()
        .map(|issue| format!("{}: {}", issue.pointer, issue.detail))
        .collect::<Vec<_>>()
        .join("; ")
}
