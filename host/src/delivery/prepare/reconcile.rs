//! Before bytes are sent again whose answer was lost: a connector that can tell is asked whether
//! they arrived.
//!
//! The question comes just before the repeat, because a destination may still work on what it took;
//! so the same rule holds for intents that were open when the host died. The question goes through
//! the same gate, session and limits as a delivery, spends no attempt, opens no intent, and is
//! recorded in the job's history. The connector's answer counts only if the destination answered in
//! this call and no write left. What follows is decided in `core/domain/judge`.

use std::sync::Arc;

use egression_core::domain::judge::{
    AfterLostAnswer, CallFrame, ConnectionEffect, LostAnswer, judge_call, judge_lost_answer,
};
use egression_core::domain::outcome::{CallError, Evidence, Outcome};
use egression_core::domain::problem::Problem;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::clock::Clock;
use crate::delivery::finished::{Disposed, Effect};
use crate::delivery::invoke::invocation::Invocation;
use crate::delivery::invoke::invoker::Invoker;
use crate::delivery::job_store::JobStore;
use crate::delivery::job_with_bytes::{Work, item_index};
use crate::delivery::route::Route;
use crate::delivery::settle::limit_closures::{self, Closure, closed_by};
use crate::delivery::settle::settlement_builder::{SettlementBuilder, waits};
use crate::delivery::settle::{final_state, history_events};
use crate::rng::Rng;
use crate::store::rows::NewEvent;

#[derive(Debug)]
pub struct Reconciler {
    store: JobStore,
    invoker: Arc<Invoker>,
    clock: Clock,
    rng: Rng,
}

/// What the connector said about the lost sends of a claim.
struct Answer {
    invocation: Invocation,
    /// Items in the question.
    items: u32,
}

impl Reconciler {
    pub const fn new(store: JobStore, invoker: Arc<Invoker>, clock: Clock, rng: Rng) -> Self {
        Self {
            store,
            invoker,
            clock,
            rng,
        }
    }

    /// Takes care of the jobs whose answer was lost: some end, some wait, the others continue with
    /// the rest of the claim.
    pub async fn reconcile(
        &self,
        route: &Route,
        call: i64,
        work: Vec<Work>,
        disposed: &mut Disposed,
    ) -> Vec<Work> {
        let (mut lost, mut going): (Vec<Work>, Vec<Work>) =
            work.into_iter().partition(|item| item.pinned.answer_lost);
        if lost.is_empty() {
            return going;
        }
        let mut answer = None;
        if route.reconciles() {
            if let Err(error) = self
                .store
                .look_up_references(route.connection, &mut lost)
                .await
            {
                tracing::error!(%error, "cannot read the id map; the connector is not asked");
                disposed.leave(lost.into_iter().map(|item| item.head));
                return going;
            }
            let invocation = self.invoker.reconcile(route, call, &lost).await;
            match &invocation.error {
                Some(error) if may_pass(error) => {
                    let error = error.clone();
                    let answer = Answer {
                        invocation,
                        items: item_index(lost.len()),
                    };
                    self.wait_to_ask_again(route, lost, &answer, error, disposed)
                        .await;
                    return going;
                }
                Some(CallError::Internal(problem) | CallError::Trapped(problem)) => {
                    disposed.effect = Effect::Trapped(problem.clone());
                }
                _ => {}
            }
            answer = Some(Answer {
                invocation,
                items: item_index(lost.len()),
            });
        }
        for (position, item) in lost.into_iter().enumerate() {
            let index = item_index(position);
            going.extend(self.follow(route, item, index, answer.as_ref(), disposed));
        }
        going
    }

    /// The question could not be answered now: the jobs wait, and the connector is asked again.
    async fn wait_to_ask_again(
        &self,
        route: &Route,
        lost: Vec<Work>,
        answer: &Answer,
        error: CallError,
        disposed: &mut Disposed,
    ) {
        let frame = CallFrame {
            evidence: Evidence::default(),
            batch_size: answer.items,
            credential: route.credential(),
            // If the session had expired, the question was repeated with a new one.
            credential_fresh: true,
        };
        let verdict = judge_call(error, frame);
        let closed = closed_by(&verdict.connection);
        if let Some((bucket, ms)) = closed {
            let closure = Closure {
                bucket,
                ms,
                problem: verdict.problem.as_ref(),
            };
            limit_closures::close(&self.invoker.gate, &self.clock, route, closure).await;
        }
        let after_ms = closed.map(|(_, ms)| ms);
        let problem = verdict.problem.unwrap_or_else(|| {
            Problem::new(
                "destination.throttled",
                "the destination asks for fewer requests",
            )
        });
        match verdict.connection {
            ConnectionEffect::Park(problem) => disposed.effect = Effect::Refused(problem),
            ConnectionEffect::Unavailable { .. } => {
                disposed.effect = Effect::Unavailable(problem.clone());
            }
            ConnectionEffect::None
            | ConnectionEffect::Renew
            | ConnectionEffect::CloseLimit { .. } => {}
        }
        let (now, draw) = (self.clock.wall(), self.rng.jitter());
        for (position, item) in lost.into_iter().enumerate() {
            let attempts = item.row.attempts;
            let wait_ms = route
                .channel
                .retry
                .backoff_ms(attempts.max(1), after_ms, draw);
            let until = now.plus_ms(i64::try_from(wait_ms).unwrap_or(i64::MAX));
            let reason = WaitingKind::Retry;
            let mut settlement = waits(&item.row, reason, Some(until), problem.clone(), now);
            let mut asked = answer.events(item_index(position), &item, now);
            asked.push(history_events::reconciled(
                None,
                Some(&problem),
                attempts,
                now,
            ));
            settlement.events.splice(0..0, asked);
            disposed.aside(item.head, settlement);
        }
    }

    /// The next step of one job: it continues, or it ends here. Without an answer, bytes that may
    /// be repeated are repeated.
    fn follow(
        &self,
        route: &Route,
        mut item: Work,
        index: u32,
        answer: Option<&Answer>,
        disposed: &mut Disposed,
    ) -> Option<Work> {
        let now = self.clock.wall();
        let found = answer.and_then(|answer| answer.invocation.outcomes.get(&index).cloned());
        let mut asked = Vec::new();
        if let Some(answer) = answer {
            asked = answer.events(index, &item, now);
            let error = answer.invocation.error.as_ref();
            asked.push(reconciled(found.as_ref(), error, item.row.attempts, now));
        }
        let followed = judge_lost_answer(LostAnswer {
            action: item.action(),
            idempotent: item.is_idempotent(route),
            rules: &route.channel.retry,
            attempts: item.row.attempts,
            found,
        });
        match followed {
            AfterLostAnswer::Repeats { answer_lost } => {
                item.pinned.answer_lost = answer_lost;
                item.events.extend(asked);
                Some(item)
            }
            AfterLostAnswer::Ends(verdict) => {
                let builder = SettlementBuilder::before_intent(&item.row).with(asked);
                let settlement = final_state::end(builder, route, &item, *verdict, now);
                disposed.aside(item.head, settlement);
                None
            }
        }
    }
}

impl Answer {
    /// The login and the question in the history of one item.
    fn events(&self, index: u32, item: &Work, now: Wall) -> Vec<NewEvent> {
        let (items, attempts) = (self.items, item.row.attempts);
        let mut events =
            history_events::of_call(&self.invocation.login, None, items, attempts, now);
        let log = &self.invocation.log;
        events.extend(history_events::of_call(
            log,
            Some(index),
            items,
            attempts,
            now,
        ));
        events
    }
}

/// An error that says nothing about the items and may pass: the connector is asked again later.
const fn may_pass(error: &CallError) -> bool {
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

/// The event that tells whether a lost send arrived.
fn reconciled(
    found: Option<&Outcome>,
    error: Option<&CallError>,
    attempt: u32,
    now: Wall,
) -> NewEvent {
    let problem = match (found, error) {
        (Some(Outcome::Unknown(problem)), _) => Some(problem),
        (
            None,
            Some(
                CallError::BatchRefused(problem)
                | CallError::Unsupported(problem)
                | CallError::Internal(problem)
                | CallError::Trapped(problem),
            ),
        ) => Some(problem),
        _ => None,
    };
    let arrived = match found {
        Some(Outcome::Delivered { .. }) => Some(true),
        Some(Outcome::NotAttempted) => Some(false),
        _ => None,
    };
    history_events::reconciled(arrived, problem, attempt, now)
}
