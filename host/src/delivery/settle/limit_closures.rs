//! Which limits a call closes, and closing them.

use std::collections::BTreeMap;

use egression_core::domain::judge::{ConnectionEffect, Verdict};
use egression_core::domain::problem::Problem;

use super::call_review::CallReview;
use crate::clock::Clock;
use crate::delivery::route::Route;
use crate::gate::Gate;

/// A limit to close, and why.
#[derive(Debug)]
pub struct Closure<'a> {
    /// The limit's name; none: the connection's own limit.
    pub bucket: Option<&'a str>,
    pub ms: u64,
    pub problem: Option<&'a Problem>,
}

/// The limit that a call as a whole closes (none: the connection's own), and for how long. A
/// destination that is down until a given time closes the connection's own: before that time
/// neither a job nor a probe is sent.
pub fn closed_by(effect: &ConnectionEffect) -> Option<(Option<&str>, u64)> {
    match effect {
        ConnectionEffect::CloseLimit { bucket, ms } => Some((bucket.as_deref(), *ms)),
        ConnectionEffect::Unavailable { not_before_ms } => not_before_ms.map(|ms| (None, ms)),
        _ => None,
    }
}

/// The limits that a call and its items close. Each limit is closed once for all items, because
/// each closure is a commit.
pub fn of_review<'a>(
    review: &'a CallReview<'_>,
    verdicts: impl Iterator<Item = &'a Verdict>,
) -> Vec<Closure<'a>> {
    let of_call = review.verdict.as_ref().and_then(|verdict| {
        let (bucket, ms) = closed_by(&verdict.connection)?;
        Some(Closure {
            bucket,
            ms,
            problem: verdict.problem.as_ref(),
        })
    });
    let mut of_items: BTreeMap<Option<&str>, Closure<'_>> = BTreeMap::new();
    for verdict in verdicts {
        if let Verdict::Again(again) = verdict
            && let Some((bucket, ms)) = &again.close_limit
        {
            let bucket = bucket.as_deref();
            let closure = Closure {
                bucket,
                ms: *ms,
                problem: again.problem.as_ref(),
            };
            let longest = of_items
                .entry(bucket)
                .or_insert(Closure { ms: 0, ..closure });
            if *ms >= longest.ms {
                *longest = closure;
            }
        }
    }
    let mut closures: Vec<_> = of_call.into_iter().chain(of_items.into_values()).collect();
    closures.retain(|closure| !review.keeps_open(closure.bucket));
    closures
}

/// Closes a limit of the route's connection.
pub async fn close(gate: &Gate, clock: &Clock, route: &Route, closure: Closure<'_>) {
    let Closure {
        bucket,
        ms,
        problem,
    } = closure;
    let until = clock.wall().plus_ms(i64::try_from(ms).unwrap_or(i64::MAX));
    let reason = problem.map_or("the destination asked for fewer requests", |p| {
        p.message.as_str()
    });
    let owner = route.destination.owner;
    if let Err(error) = gate.throttle(owner, bucket, until, reason).await {
        // The limit is closed in this run; only a restart before `until` would not know of it.
        tracing::warn!(%error, limit = bucket, "cannot store a closed limit");
    }
}
