//! Looking whether a connection works again: the connector's `check`, through the same gate and
//! limits.

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::outcome::CallError;
use egression_core::domain::problem::Problem;

use crate::delivery::deliver::Deliverer;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::connection_abilities::ConnectionAbilities;
use crate::delivery::invoke::redact_outcome;
use crate::delivery::work::Route;
use crate::documents::catalogue::ConnectionState;
use crate::documents::configuration::NEEDS_REENTRY;
use crate::documents::invalid_settings::SETTINGS_INVALID;
use crate::gate::CallGate;
use crate::runtime::call::{Call, ConnectionFrame, Findings, Session};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    Works(Findings),
    /// It does not, for now.
    Fails(Problem),
    /// The credential or the settings are refused.
    Refused(Problem),
}

impl Deliverer {
    /// Checks a connection; none if it is gone.
    pub async fn check(&self, connection: ConnectionId) -> Option<Probe> {
        let Some(route) = self.route(connection).await else {
            return self.unloaded(connection).await.map(Probe::Fails);
        };
        if self.needs_reentry(connection) {
            // A check that passes says nothing about a credential that was entered for other hosts.
            return Some(Probe::Refused(Problem::new(
                "credential.other_hosts",
                NEEDS_REENTRY,
            )));
        }
        if let Some(issue) = self
            .configuration
            .settings_issues(&route.channel, &route.document)
            .into_iter()
            .next()
        {
            // The connector's own check may not look at every setting.
            return Some(Probe::Refused(
                Problem::new(SETTINGS_INVALID, issue.detail).at(issue.pointer),
            ));
        }
        Some(match self.look(&route, &mut CallLog::default()).await {
            Ok(findings) => Probe::Works(findings),
            Err(error) => judge(error),
        })
    }

    /// Asks the connector, once more with a new session if the old one expired.
    pub async fn look(&self, route: &Route, trail: &mut CallLog) -> Result<Findings, CallError> {
        let session = self.session(route, None, trail).await?;
        match self.look_with(route, session.clone(), trail).await {
            Err(CallError::AuthExpired(_)) if session.is_some() => {
                self.drop_session(route, session.as_ref()).await;
                let fresh = self.session(route, session.as_ref(), trail).await?;
                self.look_with(route, fresh, trail).await
            }
            looked => looked,
        }
    }

    /// What the connector's own check says, without the secrets of its call.
    async fn look_with(
        &self,
        route: &Route,
        session: Option<Session>,
        trail: &mut CallLog,
    ) -> Result<Findings, CallError> {
        let (call, gate) = self.plain_call(route, session);
        let end = route.connector.check(call).await;
        trail.note(&gate, end.logs);
        match end.result {
            Ok(findings) => Ok(redact_outcome::findings(&gate, findings)),
            Err(error) => Err(redact_outcome::error(&gate, error)),
        }
    }

    fn needs_reentry(&self, connection: ConnectionId) -> bool {
        let catalogue = self.configuration.catalogue();
        let state = catalogue
            .connection_by_id(connection)
            .map(|found| &found.state);
        matches!(state, Some(ConnectionState::Parked { reason }) if reason == NEEDS_REENTRY)
    }

    /// A call that carries no items, with the channel's call timeout, and its way out, which knows
    /// its secrets.
    pub fn plain_call(&self, route: &Route, session: Option<Session>) -> (Call, CallGate) {
        let deadline = self.clock.mono().plus_ms(route.channel.call_timeout_ms);
        let gate = self
            .gate
            .open_call(Arc::clone(&route.destination), 0, deadline, 1);
        let call = Call {
            abilities: Arc::new(ConnectionAbilities {
                connection: route.connection,
                gate: gate.clone(),
                store: self.store.clone(),
            }),
            connection: ConnectionFrame {
                subscription: Arc::from(route.subscription_name.as_str()),
                channel: Arc::from(route.channel_name.as_str()),
                settings_json: Arc::from(route.document.settings.to_string()),
                deadline,
                dry_run: false,
                traceparent: None,
            },
            session,
        };
        (call, gate)
    }
}

fn judge(error: CallError) -> Probe {
    match error {
        CallError::AuthRejected(problem) | CallError::SettingsInvalid(problem) => {
            Probe::Refused(problem)
        }
        // A connector without a `check` of its own: what it said before may have passed, so the
        // next call tells.
        CallError::Unsupported(_) => Probe::Works(Findings {
            account: None,
            scopes: Vec::new(),
            remarks: Vec::new(),
        }),
        CallError::Throttled { problem, .. } => Probe::Fails(problem.unwrap_or_else(|| {
            Problem::new("destination.throttled", "the destination asks for less")
        })),
        CallError::AuthExpired(problem)
        | CallError::Unavailable { problem, .. }
        | CallError::BatchRefused(problem)
        | CallError::Internal(problem)
        | CallError::NotRun(problem)
        | CallError::Trapped(problem) => Probe::Fails(problem),
    }
}
