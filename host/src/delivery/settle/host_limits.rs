//! What it means for a call that a limit of this host, and not the destination, refused one of its
//! requests.

use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;

use crate::delivery::invoke::invoker::Invocation;
use crate::delivery::work::Route;
use crate::gate::BoundLimit;
use crate::gate::exchange::ExchangeEnd;

/// A job that a limit holds back of which admission does not know all is looked at again after this
/// long, in milliseconds, or a twentieth of the time that the limit names: it may have been
/// changed.
const LOOKED_AT_AGAIN_MS: u64 = 5 * 60 * 1000;

/// How long such a job waits, if the limit says that there is no room for so long.
pub fn wait_ms(limited_ms: u64) -> u64 {
    limited_ms.min(LOOKED_AT_AGAIN_MS.max(limited_ms / 20))
}

/// Whether it may be a limit of some operations only, or what the request costs there, that refused
/// a request of the call, and the destination did not ask for less.
pub fn held_back(route: &Route, ran: &Invocation) -> bool {
    // Of all other limits admission knows what a call will take.
    let in_part = |limit: &BoundLimit| !limit.operations.is_empty() || limit.counts.is_some();
    let limited = ran
        .exchanges
        .iter()
        .any(|exchange| exchange.end == ExchangeEnd::Limited);
    limited
        && route.destination.limits.iter().any(in_part)
        && !ran
            .exchanges
            .iter()
            .any(|exchange| matches!(exchange.status, Some(429 | 503)))
}

/// Where nothing left because a request costs more than a limit ever admits, what the connector
/// made of that, for the call or for each item, says nothing of the settings. Fewer items cost
/// less; one alone is tried again, for a limit can be changed, and keeps nobody else.
pub fn reclassify_too_costly(ran: &mut Invocation, batch_size: u32) {
    let too_costly = ran
        .exchanges
        .iter()
        .any(|exchange| exchange.end == ExchangeEnd::TooCostly);
    if !too_costly || ran.evidence.write_left {
        return;
    }
    let Some(problem) = what_it_made_of_it(ran) else {
        return;
    };
    if batch_size > 1 {
        ran.outcomes
            .retain(|_, outcome| !matches!(outcome, Outcome::Retryable { .. }));
        ran.error = Some(CallError::BatchRefused(problem));
    } else {
        ran.error = None;
        ran.outcomes.insert(
            0,
            Outcome::Retryable {
                after_ms: None,
                problem,
            },
        );
    }
}

/// The problem with which it gave up the call, or all items alike.
fn what_it_made_of_it(ran: &Invocation) -> Option<Problem> {
    match &ran.error {
        Some(CallError::SettingsInvalid(problem)) => Some(problem.clone()),
        Some(_) => None,
        None => {
            let mut problems = ran.outcomes.values().map(|outcome| match outcome {
                Outcome::Retryable { problem, .. } => Some(problem),
                _ => None,
            });
            let first = problems.next()??;
            problems
                .all(|problem| problem.is_some())
                .then(|| first.clone())
        }
    }
}
