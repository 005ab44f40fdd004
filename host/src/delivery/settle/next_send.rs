//! When and how a job goes again, and what it waits for until then.

use egression_core::domain::judge::Again;
use egression_core::domain::object::Remote;
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::AfterCall;

use super::call_review::CallReview;
use super::limit_closures::closed_by;
use super::settlement_builder::{SettlementBuilder, waits_for_parents};
use super::{history_events, host_limits};
use crate::delivery::job_with_bytes::Work;
use crate::store::rows::{IdMapChange, Settlement, Transition};

/// A job whose calls do not advance goes alone for this many attempts before its last.
const LAST_ATTEMPTS_ALONE: u32 = 2;

/// Completes the settlement of an item that goes again.
pub fn schedule(
    review: &CallReview<'_>,
    item: &Work,
    index: u32,
    again: Again,
    mut builder: SettlementBuilder,
) -> (Settlement, AfterCall) {
    builder.attempts = item.row.attempts + u32::from(again.attempt_spent);
    builder.conflicts += u32::from(again.conflict);
    builder.id_map = match (&again.act_as, &again.there) {
        (Some(_), _) => IdMapChange::Drop,
        (None, Some(there)) => IdMapChange::Replace(with(&item.row.remotes, there)),
        (None, None) => IdMapChange::Keep,
    };
    builder.act_as = again.act_as;
    if !again.parents.is_empty() {
        let parents = review.parents.get(&index).cloned().unwrap_or_default();
        let waiting = waits_for_parents(review.route, &item.row, parents, review.now);
        return (builder.with(waiting.events).to(waiting.to), AfterCall::Left);
    }

    let closed_by_call = || {
        review
            .verdict
            .as_ref()
            .and_then(|call| closed_by(&call.connection))
    };
    let closes = again
        .close_limit
        .as_ref()
        .map(|(bucket, ms)| (bucket.as_deref(), *ms));
    let closes = closes.or_else(closed_by_call);
    let unseen_ms = closes
        .filter(|(bucket, _)| review.is_unseen(*bucket))
        .map_or(0, |(_, ms)| host_limits::wait_ms(ms));
    let at = |ms: u64| review.now.plus_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let own = again.reason.filter(|_| again.after_ms > 0);
    let reason = own.or((unseen_ms > 0).then_some(WaitingKind::Retry));
    let until = reason.map(|_| at(again.after_ms.max(unseen_ms)));
    let closed_until = closes.map(|(_, ms)| at(ms));
    let shown = own
        .or(closed_until.map(|_| WaitingKind::Limit))
        .unwrap_or(WaitingKind::Turn);
    builder.events.push(history_events::waits(
        shown,
        until.or(closed_until),
        again.problem.as_ref(),
        Some(item.attempt()),
        review.now,
    ));

    let attempts = builder.attempts;
    let call_cap = again.halve.then(|| smaller(review, attempts));
    let ending = match reason {
        Some(_) => AfterCall::Waits { call_cap },
        None => AfterCall::Again {
            attempts,
            pinned: again.keep_pinned,
            call_cap,
        },
    };
    let settlement = builder.to(Transition::Waits {
        reason,
        until,
        parents: Vec::new(),
        problem: again.problem,
        keep_pinned: again.keep_pinned,
        answer_lost: again.answer_lost,
    });
    (settlement, ending)
}

/// The size of the next batch with a job whose call did not advance: half as many. Before its
/// attempts are used up, the job goes alone, so that it does not fail for what another job does to
/// the guest.
fn smaller(review: &CallReview<'_>, attempts: u32) -> u32 {
    let last = attempts.saturating_add(LAST_ATTEMPTS_ALONE) >= review.route.channel.retry.attempts;
    if last {
        1
    } else {
        (review.batch_size / 2).max(1)
    }
}

/// The known remotes, with one of them as it is now.
fn with(known: &[Remote], there: &Remote) -> Vec<Remote> {
    let others = known
        .iter()
        .filter(|remote| (&remote.kind, &remote.sub_id) != (&there.kind, &there.sub_id));
    others.chain([there]).cloned().collect()
}
