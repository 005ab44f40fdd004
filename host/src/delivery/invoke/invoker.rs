//! The call itself: a session, the guest behind the gate, and halves of what was refused as a
//! whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use egression_core::domain::outcome::{CallError, Evidence, Outcome};
use egression_core::time::Wall;

use crate::delivery::deliver::Deliverer;
use crate::delivery::deliver::Effect;
use crate::delivery::deliver::Finished;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::connection_abilities::ConnectionAbilities;
use crate::delivery::invoke::redact_outcome;
use crate::delivery::invoke::slot_quota::{ConcurrencyPermit, ReservationGuard};
use crate::delivery::settle::call_review;
use crate::delivery::work::{Route, Work};
use crate::gate::CallGate;
use crate::gate::exchange::Exchange;
use crate::resolver::shared_trace;
use crate::runtime::call::{Call, ConnectionFrame, Item, LogLine, ResolvedReference, Session};

/// How one call ended, with the gate's evidence.
pub struct Invocation {
    /// Outcomes by index, first answers only.
    pub outcomes: BTreeMap<u32, Outcome>,
    /// The end that is no list of outcomes.
    pub error: Option<CallError>,
    pub evidence: Evidence,
    pub exchanges: Vec<Exchange>,
    pub logs: Vec<LogLine>,
    pub began: Wall,
    /// The session that the guest was given.
    pub session: Option<Session>,
    /// The session was refused before any call succeeded with it.
    pub session_fresh: bool,
    /// The guest ran with the items: they were sent, as far as the host can tell.
    pub sent: bool,
    /// The login before the call.
    pub login: CallLog,
}

impl Deliverer {
    /// Runs the work of a call; what the destination refused as a whole runs again in halves.
    /// The first part has its place already.
    pub async fn run(
        &self,
        route: &Route,
        call: i64,
        (work, mut place): (Vec<Work>, Option<ConcurrencyPermit>),
        finished: &mut Finished,
        reserved: &mut ReservationGuard,
    ) {
        let mut parts = vec![work];
        while let Some(part) = parts.pop() {
            let place = match place.take() {
                Some(place) => Some(place),
                None => self.places.take(route).await,
            };
            let mut login = CallLog::default();
            let ran = match self.session(route, None, &mut login).await {
                Ok(session) => {
                    reserved.hand_over();
                    self.call_guest(route, call, &part, session).await
                }
                Err(error) => self.no_session(error),
            };
            drop(place);
            let ran = Invocation { login, ..ran };
            let (ran, works) = self.note_session(route, ran).await;
            let decided = call_review::decide(self, route, call, part, ran).await;
            self.settle(finished, decided.settlements).await;
            if let Some(session) = works {
                // After the settlement, for somebody may hold the session while another one is
                // made.
                self.session_works(route, &session).await;
            }
            finished.jobs.extend(decided.endings);
            if finished.effect == Effect::None || decided.effect != Effect::None {
                finished.effect = decided.effect;
            }
            parts.extend(decided.halves.into_iter().rev());
        }
    }

    /// What the call says about the session that it was given; one that works is handed back.
    async fn note_session(
        &self,
        route: &Route,
        mut ran: Invocation,
    ) -> (Invocation, Option<Session>) {
        let Some(session) = &ran.session else {
            return (ran, None);
        };
        if matches!(ran.error, Some(CallError::AuthExpired(_))) {
            ran.session_fresh = self.is_session_fresh(route, session).await;
            self.drop_session(route, Some(session)).await;
        } else if ran.exchanges.iter().any(|exchange| {
            exchange
                .status
                .is_some_and(|status| (200..300).contains(&status))
        }) {
            let works = ran.session.clone();
            return (ran, works);
        }
        (ran, None)
    }

    async fn call_guest(
        &self,
        route: &Route,
        call: i64,
        part: &[Work],
        session: Option<Session>,
    ) -> Invocation {
        let began = self.clock.wall();
        let deadline = self.clock.mono().plus_ms(route.channel.call_timeout_ms);
        let estimate = part
            .first()
            .and_then(|item| item.support(route))
            .map_or(1, |s| s.requests_per_call.max(1));
        let gate = self
            .gate
            .open_call(Arc::clone(&route.destination), call, deadline, estimate);
        let guest_call = self.guest_call(route, &gate, part, session.clone());
        let end = route.connector.deliver(guest_call, items(part)).await;
        gate.close();
        let (returned, error) = match end.result {
            Ok(returned) => (returned, None),
            Err(error) => (Vec::new(), Some(redact_outcome::error(&gate, error))),
        };
        let sent = !matches!(error, Some(CallError::NotRun(_)));
        Invocation {
            outcomes: first_answers(&gate, end.reported.into_iter().chain(returned)),
            error,
            evidence: gate.evidence(),
            exchanges: gate.exchanges(),
            logs: end.logs,
            began,
            session,
            session_fresh: false,
            sent,
            login: CallLog::default(),
        }
    }

    /// What the guest of a call with items is given.
    pub fn guest_call(
        &self,
        route: &Route,
        gate: &CallGate,
        part: &[Work],
        session: Option<Session>,
    ) -> Call {
        let traceparent = shared_trace(part.iter().map(|item| item.row.traceparent.as_deref()))
            .map(str::to_owned);
        if let Some(traceparent) = &traceparent {
            gate.trace(traceparent);
        }
        Call {
            abilities: Arc::new(ConnectionAbilities {
                connection: route.connection,
                gate: gate.clone(),
                store: self.store.clone(),
            }),
            connection: ConnectionFrame {
                subscription: Arc::from(route.subscription_name.as_str()),
                channel: Arc::from(route.channel_name.as_str()),
                settings_json: Arc::from(route.document.settings.to_string()),
                deadline: gate.deadline(),
                dry_run: false,
                traceparent,
            },
            session,
        }
    }

    /// No session could be made, so nothing of the items left.
    fn no_session(&self, error: CallError) -> Invocation {
        Invocation {
            outcomes: BTreeMap::new(),
            error: Some(error),
            evidence: Evidence::default(),
            exchanges: Vec::new(),
            logs: Vec::new(),
            began: self.clock.wall(),
            session: None,
            // The login itself was refused: another one would be as well.
            session_fresh: true,
            sent: false,
            login: CallLog::default(),
        }
    }
}

/// The first answer of each index, masked.
pub fn first_answers(
    gate: &CallGate,
    answers: impl Iterator<Item = (u32, Outcome)>,
) -> BTreeMap<u32, Outcome> {
    let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
    for (index, outcome) in answers {
        outcomes
            .entry(index)
            .or_insert_with(|| redact_outcome::outcome(gate, outcome));
    }
    outcomes
}

pub fn items(part: &[Work]) -> Vec<Item> {
    part.iter()
        .enumerate()
        .map(|(index, work)| Item {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            job_id: work.job_id.to_string(),
            object: work.row.object.clone(),
            action: work.action,
            body: work.pinned.body.clone(),
            revision: work.pinned.revision.or(work.pinned.counted),
            idempotency_key: work.pinned.idempotency_key.clone(),
            attempt: work.attempt,
            remotes: work.row.remotes.clone(),
            references: work
                .references
                .iter()
                .zip(&work.reference_remotes)
                .map(|((pointer, target), remotes)| ResolvedReference {
                    pointer: pointer.clone(),
                    target: target.clone(),
                    remotes: remotes.clone(),
                })
                .collect(),
        })
        .collect()
}
