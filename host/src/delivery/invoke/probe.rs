//! Whether a connection works: the connector's `check`, through the same gate and limits as a
//! delivery.

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::outcome::CallError;
use egression_core::domain::problem::Problem;

use super::call_log::CallLog;
use super::invoker::Invoker;
use crate::delivery::route::{NoRoute, Route, Routes};
use crate::runtime::Findings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    Works(Findings),
    /// It fails for now.
    Fails(Problem),
    /// The credential or the settings are refused.
    Refused(Problem),
}

#[derive(Debug)]
pub struct Prober {
    routes: Routes,
    invoker: Arc<Invoker>,
}

impl Prober {
    pub const fn new(routes: Routes, invoker: Arc<Invoker>) -> Self {
        Self { routes, invoker }
    }

    /// Checks a connection; none if it is gone. The check that a person asked for passes the limits
    /// that the destination closed, and reopens them if it succeeds.
    pub async fn probe(&self, connection: ConnectionId, by_person: bool) -> Option<Probe> {
        let mut route = match self.routes.find(connection).await {
            Ok(route) => route,
            Err(NoRoute::NotLoaded(problem)) => return Some(Probe::Fails(*problem)),
            Err(NoRoute::Removed) => return None,
        };
        if let Some(problem) = self.routes.refusal(&route).await {
            return Some(Probe::Refused(problem));
        }
        if by_person {
            route.destination = Arc::new(route.destination.past_closures());
        }
        match self.invoker.check(&route, &mut CallLog::default()).await {
            Ok(findings) => {
                if by_person {
                    self.reopen(&route).await;
                }
                Some(Probe::Works(findings))
            }
            Err(error) => Some(failed(error)),
        }
    }

    async fn reopen(&self, route: &Route) {
        let owner = route.destination.owner;
        if let Err(error) = self.invoker.gate.reopen_after_check(owner).await {
            tracing::warn!(%error, %owner, "cannot reopen the limits of a connection");
        }
    }
}

fn failed(error: CallError) -> Probe {
    match error {
        CallError::AuthRejected(problem) | CallError::SettingsInvalid(problem) => {
            Probe::Refused(problem)
        }
        // The connector has no `check`: the cause of the earlier failure may have passed, and the
        // next call tells.
        CallError::Unsupported(_) => Probe::Works(Findings {
            account: None,
            scopes: Vec::new(),
            remarks: Vec::new(),
        }),
        CallError::Throttled { problem, .. } => Probe::Fails(problem.unwrap_or_else(|| {
            Problem::new(
                "destination.throttled",
                "the destination asks for fewer requests",
            )
        })),
        CallError::AuthExpired(problem)
        | CallError::Unavailable { problem, .. }
        | CallError::BatchRefused(problem)
        | CallError::Internal(problem)
        | CallError::NotRun(problem)
        | CallError::Trapped(problem) => Probe::Fails(problem),
    }
}
