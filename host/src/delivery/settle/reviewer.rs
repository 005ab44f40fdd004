//! From what a call brought to settlements: the core judges each item, and each verdict becomes the
//! item's settlement.

use std::collections::HashSet;
use std::sync::Arc;

use egression_core::domain::ids::ConnectionId;
use egression_core::domain::judge::{CallFrame, CredentialCheck, Verdict, judge_call};
use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::scheduler::{AfterCall, Head};

use super::auth_failures::AuthFailures;
use super::call_review::{CallReview, Judged};
use super::connection_effect::effect_of;
use super::settlement_builder::SettlementBuilder;
use super::{blocked_on, final_state, host_limits, limit_closures, next_send};
use crate::clock::Clock;
use crate::delivery::finished::{Disposed, Effect};
use crate::delivery::invoke::call_log::CallLog;
use crate::delivery::invoke::invocation::Invocation;
use crate::delivery::invoke::invoker::Invoker;
use crate::delivery::job_store::JobStore;
use crate::delivery::job_with_bytes::{Work, item_index};
use crate::delivery::route::Route;
use crate::rng::Rng;
use crate::store::rows::Settlement;

#[derive(Debug)]
pub struct Reviewer {
    store: JobStore,
    invoker: Arc<Invoker>,
    auth_failures: AuthFailures,
    clock: Clock,
    rng: Rng,
}

/// The result of a review.
#[derive(Debug, Default)]
pub struct Reviewed {
    pub disposed: Disposed,
    /// Items to be sent again at once in smaller batches: nothing of them was applied.
    pub smaller_batches: Vec<Vec<Work>>,
}

impl Reviewer {
    /// `check_holds_ms`: how long a passed connection check tells whose fault a refusal is.
    pub fn new(
        store: JobStore,
        invoker: Arc<Invoker>,
        clock: Clock,
        rng: Rng,
        check_holds_ms: u64,
    ) -> Self {
        let auth_failures = AuthFailures::new(Arc::clone(&invoker), clock.clone(), check_holds_ms);
        Self {
            store,
            invoker,
            auth_failures,
            clock,
            rng,
        }
    }

    /// Forgets connections that are gone.
    pub fn keep_only(&self, connections: &HashSet<ConnectionId>) {
        self.auth_failures.keep_only(connections);
    }

    /// Judges every item of a call.
    pub async fn review(
        &self,
        route: &Route,
        call: i64,
        batch: Vec<Work>,
        mut invocation: Invocation,
    ) -> Reviewed {
        let batch_size = item_index(batch.len());
        host_limits::reclassify_too_costly(&mut invocation, batch_size);
        let refused_whole = matches!(invocation.error, Some(CallError::BatchRefused(_)))
            && batch_size > 1
            && !invocation.evidence.answer_lost;
        let frame = CallFrame {
            evidence: invocation.evidence,
            batch_size,
            credential: route.credential(),
            credential_fresh: invocation.session_fresh,
        };
        let expired = invocation.sent_at.is_some() && invocation.is_expired();
        let verdict = invocation
            .error
            .take()
            .map(|error| judge_call(error, frame));
        let mut effect = effect_of(verdict.as_ref(), &invocation);
        let advanced = invocation
            .outcomes
            .values()
            .any(|outcome| *outcome != Outcome::NotAttempted);
        let parents = blocked_on::find_parents(&self.store, route, &batch, &mut invocation).await;
        let mut review = CallReview {
            route,
            call,
            verdict,
            expired,
            credential: CredentialCheck::NotMade,
            check: CallLog::default(),
            limited_here: host_limits::held_back(route, &invocation),
            parents,
            keys: batch
                .iter()
                .map(|item| item.pinned.idempotency_key.clone())
                .collect(),
            advanced,
            batch_size,
            draw: self.rng.jitter(),
            now: self.clock.wall(),
            invocation: &invocation,
        };

        let (mut again, mut judged) = (Vec::new(), Vec::with_capacity(batch.len()));
        for (position, item) in batch.into_iter().enumerate() {
            let index = item_index(position);
            if refused_whole && !invocation.outcomes.contains_key(&index) {
                again.push(item);
            } else {
                let verdict = review.judge(&item, index);
                judged.push(Judged {
                    index,
                    item,
                    verdict,
                });
            }
        }
        if again.is_empty()
            && let Some(found) = self
                .auth_failures
                .attribute_auth_failure(&mut review, &mut judged)
                .await
            && !matches!(effect, Effect::Trapped(_))
        {
            effect = found;
        }
        self.apply_to_connection(&review, &judged).await;

        let mut disposed = Disposed {
            effect,
            ..Disposed::default()
        };
        for one in judged {
            let head = one.item.head;
            let (settlement, ending) = settlement(&review, one);
            // The scheduler packs by action, so it must know of a new one.
            let action = settlement.act_as.unwrap_or(head.action);
            disposed.jobs.push((Head { action, ..head }, ending));
            disposed.settlements.push(settlement);
        }
        Reviewed {
            disposed,
            smaller_batches: halves(again),
        }
    }

    /// Closes limits and drops a refused session, once for all items.
    async fn apply_to_connection(&self, review: &CallReview<'_>, judged: &[Judged]) {
        let verdicts = judged.iter().map(|one| &one.verdict);
        for closure in limit_closures::of_review(review, verdicts.clone()) {
            limit_closures::close(&self.invoker.gate, &self.clock, review.route, closure).await;
        }
        let mut verdicts = verdicts;
        if verdicts
            .any(|verdict| matches!(verdict, Verdict::Again(again) if again.credential_refused))
        {
            let refused = review.invocation.session.as_ref();
            self.invoker.sessions.discard(review.route, refused).await;
        }
    }
}

fn settlement(review: &CallReview<'_>, judged: Judged) -> (Settlement, AfterCall) {
    let Judged {
        index,
        item,
        verdict,
    } = judged;
    let builder =
        SettlementBuilder::after_call(&item, review.call).with(review.events(&item, index));
    match verdict {
        Verdict::Again(again) => next_send::schedule(review, &item, index, again, builder),
        ended => {
            let settlement = final_state::end(builder, review.route, &item, ended, review.now);
            (settlement, AfterCall::Left)
        }
    }
}

/// Two batches of half the items each, without empty ones.
fn halves(mut items: Vec<Work>) -> Vec<Vec<Work>> {
    let second = items.split_off(items.len().div_ceil(2));
    [items, second]
        .into_iter()
        .filter(|half| !half.is_empty())
        .collect()
}
