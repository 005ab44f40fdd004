//! Calls guests: a slot, a session, then the connector behind the gate.

use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::outcome::CallError;

use super::call_log::CallLog;
use super::guest_call::CallOpener;
use super::invocation::Invocation;
use super::redact_outcome;
use super::session::Sessions;
use super::slot_quota::{ConcurrencyPermit, ReservationGuard, SlotQuota};
use crate::clock::Clock;
use crate::delivery::job_with_bytes::{Work, item_index};
use crate::delivery::route::Route;
use crate::gate::Gate;
use crate::runtime::{Findings, Session};
use crate::store::Store;
use crate::vault::Vault;

#[derive(Debug)]
pub struct Invoker {
    pub gate: Arc<Gate>,
    pub sessions: Sessions,
    pub slots: SlotQuota,
    calls: CallOpener,
    clock: Clock,
}

impl Invoker {
    /// `slots`: guests that the runtime holds at once.
    pub fn new(store: Store, vault: Arc<Vault>, gate: Arc<Gate>, clock: Clock, slots: u32) -> Self {
        let calls = CallOpener::new(store.clone(), Arc::clone(&gate), clock.clone());
        Self {
            gate,
            sessions: Sessions::new(store, vault, clock.clone(), calls.clone()),
            slots: SlotQuota::new(slots),
            calls,
            clock,
        }
    }

    /// Guards the requests that admission reserved for a call.
    pub fn reservation(&self, connection: ConnectionId, requests: u32) -> ReservationGuard {
        ReservationGuard::new(Arc::clone(&self.gate), connection, requests)
    }

    /// Delivers a batch, with the permit if the caller holds one.
    pub async fn deliver(
        &self,
        route: &Route,
        call: i64,
        batch: &[Work],
        permit: Option<ConcurrencyPermit>,
        reservation: &mut ReservationGuard,
    ) -> Invocation {
        let permit = match permit {
            Some(permit) => Some(permit),
            None => self.slots.acquire(route).await,
        };
        let mut login = CallLog::default();
        let session = match self.sessions.get(route, None, &mut login).await {
            Ok(session) => session,
            Err(error) => return Invocation::without_session(error, login),
        };
        let began = self.clock.wall();
        let estimate = match reservation.hand_over() {
            0 => batch
                .first()
                .and_then(|item| item.support(route))
                .map_or(1, |support| support.requests(batch.len())),
            reserved => reserved,
        };
        let (guest_call, gate) =
            self.calls
                .with_items(route, call, batch, estimate, session.clone());
        let items = batch
            .iter()
            .enumerate()
            .map(|(index, work)| work.item(item_index(index), work.attempt()))
            .collect();
        let end = route.connector.deliver(guest_call, items).await;
        drop(permit);
        let mut invocation = Invocation {
            login,
            session,
            ..Invocation::ended(&gate, end, began)
        };
        if invocation.is_expired()
            && let Some(session) = &invocation.session
        {
            invocation.session_fresh = self.sessions.is_fresh(route, session).await;
            self.sessions.discard(route, Some(session)).await;
        }
        invocation
    }

    /// Asks the connector which lost sends arrived, once more with a new session if the old one
    /// expired. The caller holds a permit; to wait for a second one here could deadlock.
    pub async fn reconcile(&self, route: &Route, call: i64, lost: &[Work]) -> Invocation {
        let mut stale = None;
        loop {
            let mut login = CallLog::default();
            let session = match self.sessions.get(route, stale.as_ref(), &mut login).await {
                Ok(session) => session,
                Err(error) => return Invocation::without_session(error, login),
            };
            let asked = self
                .reconcile_with(route, call, lost, session.clone())
                .await;
            let invocation = Invocation { login, ..asked };
            if !invocation.is_expired() {
                return invocation;
            }
            self.sessions.discard(route, session.as_ref()).await;
            match session {
                Some(session) if stale.is_none() => stale = Some(session),
                _ => return invocation,
            }
        }
    }

    async fn reconcile_with(
        &self,
        route: &Route,
        call: i64,
        lost: &[Work],
        session: Option<Session>,
    ) -> Invocation {
        let began = self.clock.wall();
        // What admission reserved is for the delivery that may follow.
        let (guest_call, gate) = self.calls.with_items(route, call, lost, 0, session);
        let items = lost
            .iter()
            .enumerate()
            .map(|(index, work)| work.item(item_index(index), work.row.attempts.max(1)))
            .collect();
        let end = route.connector.reconcile(guest_call, items).await;
        let mut asked = Invocation::ended(&gate, end, began);
        // Without evidence of its own, a lost answer stays lost.
        if !asked.is_answered() || asked.evidence.write_left {
            asked.outcomes.clear();
        }
        asked
    }

    /// Asks for the connector's own check, once more with a new session if the old one expired.
    pub async fn check(&self, route: &Route, log: &mut CallLog) -> Result<Findings, CallError> {
        let session = self.sessions.get(route, None, log).await?;
        match self.check_with(route, session.clone(), log).await {
            Err(CallError::AuthExpired(_)) if session.is_some() => {
                self.sessions.discard(route, session.as_ref()).await;
                let fresh = self.sessions.get(route, session.as_ref(), log).await?;
                self.check_with(route, fresh, log).await
            }
            result => result,
        }
    }

    async fn check_with(
        &self,
        route: &Route,
        session: Option<Session>,
        log: &mut CallLog,
    ) -> Result<Findings, CallError> {
        let (call, gate) = self.calls.without_items(route, session);
        let end = route.connector.check(call).await;
        log.record(&gate, end.logs);
        match end.result {
            Ok(findings) => Ok(redact_outcome::findings(&gate, findings)),
            Err(error) => Err(redact_outcome::error(&gate, error)),
        }
    }
}
