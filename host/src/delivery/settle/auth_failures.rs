//! Whose fault a 401 or a 403 is: where the destination refused every item of a call, the
//! connection is checked before the items are judged.
//!
//! A session or token may just have expired, so the first 401s of a job only renew it. What a check
//! found holds for a while, so that a catalogue of refused items does not double the calls; that a
//! credential is refused is not remembered, for a person may have entered another one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::judge::{Credential, CredentialCheck};
use egression_core::domain::outcome::CallError;
use egression_core::time::Mono;

use crate::delivery::deliver::Deliverer;
use crate::delivery::deliver::Effect;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::settle::call_review::credential_of;
use crate::delivery::work::Route;

/// Jobs whose 401 is remembered; all are forgotten when there are more, which costs each of them a
/// send.
const MAX_REMEMBERED: usize = 10_000;

/// So many 401s in a row only renew the session or token of a job: it may expire again before the
/// job is sent again.
const RENEWALS: u32 = 2;

/// What a check found, and when.
type Found = Option<(Mono, CredentialCheck, Effect)>;

/// What is known of refusals.
#[derive(Debug)]
pub struct AuthFailures {
    /// How long a passed check holds.
    holds_ms: u64,
    checks: Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<Found>>>>,
    /// 401s in a row.
    counts: Mutex<HashMap<JobSeq, u32>>,
}

impl AuthFailures {
    pub fn new(holds_ms: u64) -> Self {
        Self {
            holds_ms,
            checks: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// A job was refused with 401; true: so often in a row that it is not for want of a new session
    /// or token.
    pub fn again(&self, job: JobSeq) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_REMEMBERED {
            counts.clear();
        }
        let count = counts.entry(job).or_default();
        *count = count.saturating_add(1);
        *count > RENEWALS
    }

    /// Something else became of these jobs.
    pub fn forget(&self, jobs: impl Iterator<Item = JobSeq>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.is_empty() {
            jobs.for_each(|job| {
                counts.remove(&job);
            });
        }
    }

    /// Forgets connections that are gone.
    pub fn keep_only(&self, here: &HashSet<ConnectionId>) {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|connection, _| here.contains(connection));
    }

    fn of(&self, connection: ConnectionId) -> Arc<tokio::sync::Mutex<Found>> {
        Arc::clone(
            self.checks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(connection)
                .or_default(),
        )
    }
}

impl Deliverer {
    /// Checks a connection that refused a whole call, unless that was done a while ago; and what it
    /// means for the connection. Whoever asks at the same time waits for that one check. The caller
    /// holds no place, for the check needs one.
    pub async fn whose_fault(
        &self,
        route: &Route,
        trail: &mut CallLog,
    ) -> (CredentialCheck, Effect) {
        let asked = self.clock.mono();
        let found = self.refusals.of(route.connection);
        let mut found = found.lock().await;
        if let Some((at, check, effect)) = found.as_ref() {
            let holds = *check != CredentialCheck::Refused
                && self.clock.mono().since_ms(*at) < self.refusals.holds_ms;
            if *at >= asked || holds {
                return (*check, effect.clone());
            }
        }
        let place = self.places.take(route).await;
        let looked = self.look(route, trail).await;
        drop(place);
        let (check, effect) = match looked {
            Ok(_) => (CredentialCheck::Works, Effect::Healthy),
            // It has no check, or none could be made: our own limit or room, or the check itself is
            // at fault. Nobody knows.
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
            Err(CallError::AuthExpired(problem)) if credential_of(route) == Credential::Entered => {
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
