//! How one guest call with items ended, with the gate's evidence.

use std::collections::BTreeMap;

use egression_core::domain::outcome::{CallError, Evidence, Outcome};
use egression_core::time::Wall;

use super::call_log::CallLog;
use super::redact_outcome;
use crate::gate::CallGate;
use crate::gate::exchange::Exchange;
use crate::runtime::{DeliveryEnd, Session};

#[derive(Debug, Default)]
pub struct Invocation {
    /// Outcomes by index; only the first one of each item.
    pub outcomes: BTreeMap<u32, Outcome>,
    /// Why the call did not end with a list of outcomes.
    pub error: Option<CallError>,
    pub evidence: Evidence,
    pub log: CallLog,
    /// The login before the call.
    pub login: CallLog,
    /// When the guest got the items, if it ran. As far as the host can tell, they were sent then.
    pub sent_at: Option<Wall>,
    /// The session that the guest got.
    pub session: Option<Session>,
    /// No call has succeeded with this session, so a new one would be refused, too.
    pub session_fresh: bool,
}

impl Invocation {
    /// A call that ended, redacted.
    pub fn ended(gate: &CallGate, end: DeliveryEnd, began: Wall) -> Self {
        let mut log = CallLog::default();
        log.record(gate, end.logs);
        let (returned, error) = match end.result {
            Ok(returned) => (returned, None),
            Err(error) => (Vec::new(), Some(redact_outcome::error(gate, error))),
        };
        let mut outcomes = BTreeMap::new();
        for (index, outcome) in end.reported.into_iter().chain(returned) {
            outcomes
                .entry(index)
                .or_insert_with(|| redact_outcome::outcome(gate, outcome));
        }
        let sent = !matches!(error, Some(CallError::NotRun(_)));
        Self {
            outcomes,
            error,
            evidence: gate.evidence(),
            log,
            sent_at: sent.then_some(began),
            ..Self::default()
        }
    }

    /// No session could be made, so nothing of the items left.
    pub fn without_session(error: CallError, login: CallLog) -> Self {
        Self {
            error: Some(error),
            login,
            // The login itself was refused; a new one would be, too.
            session_fresh: true,
            ..Self::default()
        }
    }

    pub const fn is_expired(&self) -> bool {
        matches!(self.error, Some(CallError::AuthExpired(_)))
    }

    /// The destination answered some request.
    pub fn is_answered(&self) -> bool {
        self.log
            .exchanges
            .iter()
            .any(|exchange| exchange.status.is_some())
    }

    /// The guest did not stop early: it reported on every item that it got.
    pub fn is_complete(&self) -> bool {
        let settled = |outcome: &Outcome| !matches!(outcome, Outcome::NotAttempted);
        self.error.is_none() && self.outcomes.values().all(settled)
    }

    /// Requests that may write and were answered.
    pub fn answered_writes(&self) -> u32 {
        let answered = |exchange: &&Exchange| exchange.write && exchange.status.is_some();
        let writes = self.log.exchanges.iter().filter(answered).count();
        u32::try_from(writes).unwrap_or(u32::MAX)
    }

    /// The session, if the destination accepted it.
    pub fn proven_session(&self) -> Option<Session> {
        let mut statuses = self
            .log
            .exchanges
            .iter()
            .filter_map(|exchange| exchange.status);
        let accepted = !self.is_expired() && statuses.any(|status| (200..300).contains(&status));
        self.session.clone().filter(|_| accepted)
    }
}
