//! Before bytes are sent again whose answer was lost: a connector that can tell is asked whether
//! they arrived.
//!
//! Asked just before the repeat would leave, and not at once, because a destination may still be at
//! work on what it took; and so the same holds for what was open when the host died. The question
//! goes through the same gate, session and limits as a delivery, spends no attempt, opens no
//! intent, and is told in the job's history. What the connector answers counts only if the
//! destination answered something in this call, and if nothing left that may write: a lost answer
//! stays lost without evidence. What follows is the core's to decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use egression_core::domain::judge::{
    CallFrame, ConnectionEffect, Followed, LostInput, judge_call, judge_lost,
};
use egression_core::domain::outcome::{CallError, Evidence, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::Ending;
use egression_core::time::Wall;

use crate::delivery::deliver::Deliverer;
use crate::delivery::deliver::Effect;
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::invoker::{first_answers, items};
use crate::delivery::invoke::redact_outcome;
use crate::delivery::prepare::preparer::Prepared;
use crate::delivery::settle::call_review::{close_limit, closes, credential_of};
use crate::delivery::settle::events;
use crate::delivery::settle::final_state;
use crate::delivery::work::{Route, Work, waits};
use crate::gate::exchange::Exchange;
use crate::runtime::call::{LogLine, Session};
use crate::store::rows::{IdMapChange, NewEvent, Settlement, Transition};

/// What a connector found out.
#[derive(Debug, Default)]
struct Found {
    outcomes: BTreeMap<u32, Outcome>,
    error: Option<CallError>,
    exchanges: Vec<Exchange>,
    logs: Vec<LogLine>,
    /// How many were asked for together.
    items: u32,
    /// The login before the question.
    login: CallLog,
}

impl Deliverer {
    /// Looks after the jobs of a claim whose answer was lost: some end, some wait, the others go on
    /// as they are.
    pub async fn reconcile(
        &self,
        route: &Route,
        call: i64,
        work: Vec<Work>,
        prepared: &mut Prepared,
    ) -> Vec<Work> {
        let (mut lost, mut going): (Vec<Work>, Vec<Work>) =
            work.into_iter().partition(|item| item.pinned.answer_lost);
        if lost.is_empty() {
            return going;
        }
        if !route.reconciles() {
            // What may be repeated just is. The rest would have ended when its answer was lost, but
            // the connector could tell then.
            going.extend(
                lost.into_iter()
                    .enumerate()
                    .filter_map(|(i, item)| self.follow(route, item, index(i), None, prepared)),
            );
            return going;
        }
        if let Err(error) = self.look_up_references(route, &mut lost).await {
            tracing::error!(%error, "the id map could not be read; nobody is asked");
            prepared
                .endings
                .extend(lost.into_iter().map(|item| (item.head, Ending::Left)));
            return going;
        }
        let found = self.ask(route, call, &lost).await;
        if let Some(error) = found.error.as_ref().filter(|error| asks_again(error)) {
            self.wait_to_ask(route, lost, &found, error, prepared).await;
            return going;
        }
        if let Some(CallError::Internal(problem) | CallError::Trapped(problem)) = &found.error {
            prepared.effect = Effect::Trapped(problem.clone());
        }
        going.extend(
            lost.into_iter()
                .enumerate()
                .filter_map(|(i, item)| self.follow(route, item, index(i), Some(&found), prepared)),
        );
        going
    }

    /// Asks the connector, once more with a new session if the old one expired. The guest runs in
    /// the place that the preparation holds: to wait for another one here would be to wait for
    /// oneself.
    async fn ask(&self, route: &Route, call: i64, lost: &[Work]) -> Found {
        let mut stale = None;
        loop {
            let mut login = CallLog::default();
            let session = match self.session(route, stale.as_ref(), &mut login).await {
                Ok(session) => session,
                Err(error) => {
                    return Found {
                        error: Some(error),
                        login,
                        ..Found::default()
                    };
                }
            };
            let found = Found {
                login,
                ..self.ask_with(route, call, lost, session.clone()).await
            };
            if !matches!(found.error, Some(CallError::AuthExpired(_))) {
                return found;
            }
            self.drop_session(route, session.as_ref()).await;
            match session {
                Some(session) if stale.is_none() => stale = Some(session),
                _ => return found,
            }
        }
    }

    async fn ask_with(
        &self,
        route: &Route,
        call: i64,
        lost: &[Work],
        session: Option<Session>,
    ) -> Found {
        let deadline = self.clock.mono().plus_ms(route.channel.call_timeout_ms);
        // What admission reserved is for the delivery that may follow.
        let gate = self
            .gate
            .open_call(Arc::clone(&route.destination), call, deadline, 0);
        let guest_call = self.guest_call(route, &gate, lost, session);
        let mut asked = items(lost);
        for (item, work) in asked.iter_mut().zip(lost) {
            item.attempt = work.row.attempts.max(1);
        }
        let end = route.connector.reconcile(guest_call, asked).await;
        gate.close();
        let (returned, error) = match end.result {
            Ok(returned) => (returned, None),
            Err(error) => (Vec::new(), Some(redact_outcome::error(&gate, error))),
        };
        let exchanges = gate.exchanges();
        let evident = exchanges.iter().any(|exchange| exchange.status.is_some())
            && !gate.evidence().write_left;
        let answers = end.reported.into_iter().chain(returned).filter(|_| evident);
        let login = CallLog::default();
        Found {
            outcomes: first_answers(&gate, answers),
            error,
            exchanges,
            logs: end.logs,
            items: index(lost.len()),
            login,
        }
    }

    /// The question could not be answered now: the jobs wait and are asked for again.
    async fn wait_to_ask(
        &self,
        route: &Route,
        lost: Vec<Work>,
        found: &Found,
        error: &CallError,
        prepared: &mut Prepared,
    ) {
        let batch_size = u32::try_from(lost.len()).unwrap_or(u32::MAX);
        // It was asked with a new session already, if there is such a thing.
        let frame = CallFrame {
            evidence: Evidence::default(),
            batch_size,
            credential: credential_of(route),
            credential_fresh: true,
        };
        let verdict = judge_call(error.clone(), frame);
        let closed = closes(&verdict.connection);
        if let Some((bucket, ms)) = closed {
            close_limit(self, route, bucket, ms, verdict.problem.as_ref()).await;
        }
        let after_ms = closed.map(|(_, ms)| ms);
        let problem = verdict.problem.unwrap_or_else(|| {
            Problem::new("destination.throttled", "the destination asks for less")
        });
        match verdict.connection {
            ConnectionEffect::Park(problem) => prepared.effect = Effect::Refused(problem),
            ConnectionEffect::Unavailable { .. } => {
                prepared.effect = Effect::Unavailable(problem.clone())
            }
            ConnectionEffect::None
            | ConnectionEffect::Renew
            | ConnectionEffect::CloseLimit { .. } => {}
        }
        let (now, draw) = (self.clock.wall(), self.rng.jitter());
        for (i, item) in lost.into_iter().enumerate() {
            let wait_ms = route
                .channel
                .retry
                .backoff_ms(item.row.attempts.max(1), after_ms, draw);
            let until = now.plus_ms(i64::try_from(wait_ms).unwrap_or(i64::MAX));
            let mut settlement = waits(
                &item.row,
                WaitingKind::Retry,
                Some(until),
                problem.clone(),
                now,
            );
            let mut events = events(found, index(i), &item, now);
            events.push(events::reconciled(
                None,
                Some(&problem),
                item.row.attempts,
                now,
            ));
            settlement.events.splice(0..0, events);
            prepared.aside(item.head, settlement);
        }
    }

    /// What follows for one job: it goes on, or it ends here.
    fn follow(
        &self,
        route: &Route,
        mut item: Work,
        index: u32,
        found: Option<&Found>,
        prepared: &mut Prepared,
    ) -> Option<Work> {
        let now = self.clock.wall();
        let told = found.and_then(|found| found.outcomes.get(&index).cloned());
        let mut events = Vec::new();
        if let Some(found) = found {
            events = self::events(found, index, &item, now);
            events.push(reconciled(
                told.as_ref(),
                found.error.as_ref(),
                item.row.attempts,
                now,
            ));
        }
        let followed = judge_lost(LostInput {
            action: item.action,
            idempotent: item.is_idempotent(route),
            rules: &route.channel.retry,
            attempts: item.row.attempts,
            found: told,
        });
        match followed {
            Followed::Repeats { answer_lost } => {
                item.pinned.answer_lost = answer_lost;
                item.before.extend(events);
                Some(item)
            }
            Followed::Ends(verdict) => {
                let mut settlement = unsent(&item, events);
                final_state::end(route, &item, *verdict, now, &mut settlement);
                prepared.aside(item.head, settlement);
                None
            }
        }
    }
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// What says nothing about the items and may pass: they are asked for again later.
const fn asks_again(error: &CallError) -> bool {
    match error {
        CallError::AuthExpired(_)
        | CallError::AuthRejected(_)
        | CallError::SettingsInvalid(_)
        | CallError::Throttled { .. }
        | CallError::Unavailable { .. }
        | CallError::NotRun(_) => true,
        CallError::BatchRefused(_)
        | CallError::Unsupported(_)
        | CallError::Internal(_)
        | CallError::Trapped(_) => false,
    }
}

/// The exchanges and lines of the question.
fn events(found: &Found, index: u32, item: &Work, now: Wall) -> Vec<NewEvent> {
    let log = events::kept_lines(&found.logs, index, found.items);
    let mut events = found.login.events(found.items, item.row.attempts, now);
    events.extend(events::responded(
        events::newest(&found.exchanges),
        &log,
        item.row.attempts,
        now,
    ));
    events
}

fn reconciled(
    told: Option<&Outcome>,
    error: Option<&CallError>,
    attempt: u32,
    now: Wall,
) -> NewEvent {
    let problem = match (told, error) {
        (Some(Outcome::Unknown(problem)), _)
        | (
            None,
            Some(
                CallError::BatchRefused(problem)
                | CallError::Unsupported(problem)
                | CallError::Internal(problem),
            ),
        )
        | (None, Some(CallError::Trapped(problem))) => Some(problem),
        _ => None,
    };
    let arrived = match told {
        Some(Outcome::Delivered { .. }) => Some(true),
        Some(Outcome::NotAttempted) => Some(false),
        _ => None,
    };
    events::reconciled(arrived, problem, attempt, now)
}

/// A settlement without an intent of this call, to be completed with the job's end.
fn unsent(item: &Work, events: Vec<NewEvent>) -> Settlement {
    Settlement {
        job: item.row.job,
        call: None,
        to: Transition::Ended {
            state: JobState::Unknown,
            code: None,
            problem: None,
            changed: None,
            block_key: None,
        },
        attempts: item.row.attempts,
        conflicts: item.row.conflicts,
        id_map: IdMapChange::Keep,
        act_as: None,
        delivered_revision: None,
        events,
    }
}
