//! What follows if a limit of this host, and not the destination, refused a request of a call.

use egression_core::domain::outcome::{CallError, Outcome};
use egression_core::domain::problem::Problem;

use crate::delivery::invoke::invocation::Invocation;
use crate::delivery::route::Route;
use crate::gate::BoundLimit;
use crate::gate::exchange::ExchangeEnd;

/// A job that waits for a limit that admission does not fully see is retried after this long, in
/// milliseconds, or after a twentieth of the time that the limit names: the limit may have been
/// changed.
const RETRY_WITHIN_MS: u64 = 5 * 60 * 1000;

/// How long such a job waits, if the limit has no room for `limited_ms`.
pub fn wait_ms(limited_ms: u64) -> u64 {
    limited_ms.min(RETRY_WITHIN_MS.max(limited_ms / 20))
}

/// Whether a limit that covers only some operations, or counts a cost, may have refused a request
/// of the call, while the destination did not ask for fewer. For all other limits, admission knows
/// how much a call takes.
pub fn held_back(route: &Route, invocation: &Invocation) -> bool {
    let in_part = |limit: &BoundLimit| !limit.operations.is_empty() || limit.counts.is_some();
    let exchanges = &invocation.log.exchanges;
    exchanges
        .iter()
        .any(|exchange| exchange.end == ExchangeEnd::Limited)
        && route.destination.limits.iter().any(in_part)
        && !exchanges
            .iter()
            .any(|exchange| matches!(exchange.status, Some(429 | 503)))
}

/// If nothing left because a request costs more than a limit ever admits, the connector's word for
/// the call or for its items says nothing about the settings. Fewer items cost less. A single item
/// is retried: a limit can be changed, and the job holds up no other.
pub fn reclassify_too_costly(invocation: &mut Invocation, batch_size: u32) {
    let exchanges = &invocation.log.exchanges;
    let too_costly = exchanges
        .iter()
        .any(|exchange| exchange.end == ExchangeEnd::TooCostly);
    if !too_costly || invocation.evidence.write_left {
        return;
    }
    let Some(problem) = shared_problem(invocation) else {
        return;
    };
    if batch_size > 1 {
        invocation
            .outcomes
            .retain(|_, outcome| !matches!(outcome, Outcome::Retryable { .. }));
        invocation.error = Some(CallError::BatchRefused(problem));
    } else {
        invocation.error = None;
        invocation.outcomes.insert(
            0,
            Outcome::Retryable {
                after_ms: None,
                problem,
            },
        );
    }
}

/// The problem with which the connector gave up the call, or all of its items.
fn shared_problem(invocation: &Invocation) -> Option<Problem> {
    match &invocation.error {
        Some(CallError::SettingsInvalid(problem)) => Some(problem.clone()),
        Some(_) => None,
        None => {
            let mut problems = invocation.outcomes.values().map(|outcome| match outcome {
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
