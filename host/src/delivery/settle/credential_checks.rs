//! Connection checks after a refused call, remembered for a while.
//!
//! A passed check holds for a while, so that a catalog of refused items does not double the calls.
//! A refused credential is not remembered, because a person may have entered a new one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::judge::{Credential, CredentialCheck};
use egression_core::domain::outcome::CallError;
use egression_core::time::Mono;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::delivery::finished::Effect;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::invoker::Invoker;
use crate::delivery::route::Route;

/// A check: when it ended, and its result.
type Found = Option<(Mono, CredentialCheck, Effect)>;

#[derive(Debug)]
pub struct CredentialChecks {
    invoker: Arc<Invoker>,
    clock: Clock,
    /// How long a passed check holds.
    holds_ms: u64,
    found: Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<Found>>>>,
}

impl CredentialChecks {
    pub fn new(invoker: Arc<Invoker>, clock: Clock, holds_ms: u64) -> Self {
        Self {
            invoker,
            clock,
            holds_ms,
            found: Mutex::default(),
        }
    }

    /// Forgets connections that are gone.
    pub fn keep_only(&self, connections: &HashSet<ConnectionId>) {
        self.found
            .lock()
            .retain(|connection, _| connections.contains(connection));
    }

    /// Checks a connection that refused a whole call, unless a recent check still holds. Calls that
    /// ask at the same time wait for one check. The caller holds no permit, because the check needs
    /// one.
    pub async fn check(&self, route: &Route, log: &mut CallLog) -> (CredentialCheck, Effect) {
        let asked = self.clock.mono();
        let found = Arc::clone(self.found.lock().entry(route.connection).or_default());
        let mut found = found.lock().await;
        if let Some((at, check, effect)) = found.as_ref() {
            let holds = *check != CredentialCheck::Refused
                && self.clock.mono().since_ms(*at) < self.holds_ms;
            if *at >= asked || holds {
                return (*check, effect.clone());
            }
        }
        let permit = self.invoker.slots.acquire(route).await;
        let result = self.invoker.check(route, log).await;
        drop(permit);
        let (check, effect) = match result {
            Ok(_) => (CredentialCheck::Works, Effect::Healthy),
            // The connector has no check, or none could be made: our own limit or room, or the
            // check itself is at fault. Nobody knows.
            Err(
                CallError::Unsupported(_)
                | CallError::Throttled { .. }
                | CallError::NotRun(_)
                | CallError::Internal(_)
                | CallError::Trapped(_),
            ) => (CredentialCheck::NotMade, Effect::None),
            Err(CallError::AuthRejected(problem) | CallError::SettingsInvalid(problem)) => {
                (CredentialCheck::Refused, Effect::Refused(problem))
            }
            Err(CallError::AuthExpired(problem)) if route.credential() == Credential::Entered => {
                (CredentialCheck::Refused, Effect::Refused(problem))
            }
            Err(
                CallError::AuthExpired(problem)
                | CallError::Unavailable { problem, .. }
                | CallError::BatchRefused(problem),
            ) => (CredentialCheck::Refused, Effect::Unavailable(problem)),
        };
        *found = Some((self.clock.mono(), check, effect.clone()));
        (check, effect)
    }
}
