//! The call itself: a session, the guest behind the gate, and halves of what was refused as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use egression_core::domain::outcome::{CallError, Evidence, Outcome};
use egression_core::time::Wall;

use super::abilities::ConnectionAbilities;
use super::work::{Route, Work};
use super::{Deliverer, Effect, Finished, decide, masking};
use crate::gate::exchange::Exchange;
use crate::runtime::call::{Call, ConnectionFrame, Item, LogLine, ResolvedReference, Session};

/// How one call ended, with the gate's evidence.
pub(super) struct Ran {
    /// Outcomes by index, first answers only.
    pub(super) outcomes: BTreeMap<u32, Outcome>,
    /// The end that is no list of outcomes.
    pub(super) error: Option<CallError>,
    pub(super) evidence: Evidence,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) logs: Vec<LogLine>,
    pub(super) began: Wall,
}

impl Deliverer {
    /// Runs the work of a call; what the destination refused as a whole runs again in halves.
    pub(super) async fn run(&self, route: &Route, call: i64, work: Vec<Work>, finished: &mut Finished) {
        let mut parts = vec![work];
        while let Some(part) = parts.pop() {
            let session = self.session(route, None).await;
            let (ran, session) = match session {
                Ok(session) => (self.call_guest(route, call, &part, session.clone()).await, session),
                Err(error) => (self.no_session(error), None),
            };
            if matches!(ran.error, Some(CallError::AuthExpired(_))) {
                self.drop_session(route, session.as_ref()).await;
            }
            let decided = decide::decide(self, route, call, part, ran).await;
            self.settle(finished, decided.settlements).await;
            finished.jobs.extend(decided.endings);
            if finished.effect == Effect::None || decided.effect != Effect::None {
                finished.effect = decided.effect;
            }
            parts.extend(decided.halves.into_iter().rev());
        }
    }

    async fn call_guest(&self, route: &Route, call: i64, part: &[Work], session: Option<Session>) -> Ran {
        let began = self.clock.wall();
        let deadline = self.clock.mono().plus_ms(route.channel.call_timeout_ms);
        let estimate = part.first().and_then(|item| item.support(route)).map_or(1, |s| s.requests_per_call.max(1));
        let gate = self.gate.open_call(Arc::clone(&route.destination), call, deadline, estimate);
        let abilities = ConnectionAbilities { connection: route.connection, gate: gate.clone(), store: self.store.clone() };
        let guest_call = Call {
            abilities: Arc::new(abilities),
            connection: ConnectionFrame {
                subscription: Arc::from(route.subscription_name.as_str()),
                channel: Arc::from(route.channel_name.as_str()),
                settings_json: Arc::from(route.document.settings.to_string()),
                deadline,
                dry_run: false,
                traceparent: part.first().and_then(|item| item.row.traceparent.clone()),
            },
            session,
        };
        let end = route.connector.deliver(guest_call, items(part)).await;
        gate.close();
        let (returned, error) = match end.result {
            Ok(returned) => (returned, None),
            Err(error) => (Vec::new(), Some(masking::error(&gate, error))),
        };
        let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
        for (index, outcome) in end.reported.into_iter().chain(returned) {
            outcomes.entry(index).or_insert_with(|| masking::outcome(&gate, outcome));
        }
        Ran { outcomes, error, evidence: gate.evidence(), exchanges: gate.exchanges(), logs: end.logs, began }
    }

    /// No session could be made, so nothing of the items left.
    fn no_session(&self, error: CallError) -> Ran {
        Ran {
            outcomes: BTreeMap::new(),
            error: Some(error),
            evidence: Evidence::default(),
            exchanges: Vec::new(),
            logs: Vec::new(),
            began: self.clock.wall(),
        }
    }
}

fn items(part: &[Work]) -> Vec<Item> {
    part.iter()
        .enumerate()
        .map(|(index, work)| Item {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            job_id: work.job_id.to_string(),
            object: work.row.object.clone(),
            action: work.action,
            body: work.pinned.body.clone(),
            revision: work.pinned.revision,
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
