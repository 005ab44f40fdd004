//! Whose fault a 401 or a 403 is, the item's or the credential's.
//!
//! If the destination refused every item of a call, the connection is checked before the items are
//! judged. A session or token may just have expired, so the first 401s of a job only renew it.

use std::collections::HashSet;
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::judge::{Again, CallVerdict, Credential, CredentialCheck, Verdict};
use egression_core::domain::problem::Problem;
use moka::sync::Cache;

use super::call_review::{CallReview, Judged};
use super::credential_checks::CredentialChecks;
use crate::clock::Clock;
use crate::delivery::finished::Effect;
use crate::delivery::invoke::invoker::Invoker;

/// Jobs whose 401s are counted. To forget one costs it another send.
const MAX_REMEMBERED: u64 = 10_000;

/// The first 401s in a row of a job only renew its session or token, which may expire again before
/// the job is sent again.
const RENEWALS: u32 = 2;

#[derive(Debug)]
pub struct AuthFailures {
    checks: CredentialChecks,
    /// 401s in a row.
    counts: Cache<JobSeq, u32>,
}

/// How a destination refuses an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
}

impl AuthFailures {
    pub fn new(invoker: Arc<Invoker>, clock: Clock, check_holds_ms: u64) -> Self {
        Self {
            checks: CredentialChecks::new(invoker, clock, check_holds_ms),
            counts: Cache::new(MAX_REMEMBERED),
        }
    }

    /// Forgets connections that are gone.
    pub fn keep_only(&self, connections: &HashSet<ConnectionId>) {
        self.checks.keep_only(connections);
    }

    /// If the destination refused every item with 401 or 403, checks the connection and judges the
    /// items again by the result. Skips the check for the first 401s, which may be those of an
    /// expired session or token. A 401 among items that got through is the item's own. Returns the
    /// effect on the connection.
    pub async fn attribute_auth_failure(
        &self,
        review: &mut CallReview<'_>,
        judged: &mut [Judged],
    ) -> Option<Effect> {
        let renewable = review.route.credential() != Credential::Entered;
        let refusals: Vec<Option<Refusal>> =
            judged.iter().map(|one| refusal(review, one)).collect();
        let only_renews = self.count(judged, &refusals);
        if refusals.iter().all(Option::is_none) {
            return None;
        }
        let works = judged
            .iter()
            .any(|one| matches!(one.verdict, Verdict::Succeeded { .. }));
        // A session that expired in the middle of a call worked until then; the rest of the items
        // goes with a new one.
        let expired_midway = works && review.expired;
        let some_accepted = !works && refusals.iter().any(Option::is_none);
        if (renewable && only_renews) || expired_midway || some_accepted {
            return None;
        }
        let effect = if works {
            review.credential = CredentialCheck::Works;
            None
        } else {
            let (credential, effect) = self.checks.check(review.route, &mut review.check).await;
            review.credential = credential;
            Some(effect)
        };
        if review.credential == CredentialCheck::NotMade {
            // Without a check nobody can tell. A credential that a person entered is refused to
            // all items. One that was renewed several times in vain is treated as working, so that
            // the renewals end.
            if !renewable {
                return refused_to_all(judged).cloned().map(Effect::Refused);
            }
            review.credential = CredentialCheck::Works;
        }
        if review.credential == CredentialCheck::Works && review.expired {
            review.verdict = review.verdict.take().map(CallVerdict::of_items);
        }
        for (one, _) in judged
            .iter_mut()
            .zip(refusals)
            .filter(|(_, refusal)| refusal.is_some())
        {
            one.verdict = review.judge(&one.item, one.index);
        }
        effect
    }

    /// Counts the 401s in a row of each job. True: some job has had so few that they only renew
    /// the session or token.
    fn count(&self, judged: &[Judged], refusals: &[Option<Refusal>]) -> bool {
        let mut only_renews = false;
        for (one, refusal) in judged.iter().zip(refusals) {
            let job = one.item.row.job;
            if *refusal == Some(Refusal::Unauthorized) {
                let count = self.counts.entry(job).and_upsert_with(|before| {
                    before.map_or(1, |before| before.into_value().saturating_add(1))
                });
                only_renews |= count.into_value() <= RENEWALS;
            } else if reached_destination(&one.verdict) {
                // An item that did not reach the destination (a limit, a token that rests) keeps
                // its count.
                self.counts.invalidate(&job);
            }
        }
        only_renews
    }
}

/// How the destination refused an item, if it did.
fn refusal(review: &CallReview<'_>, one: &Judged) -> Option<Refusal> {
    match &one.verdict {
        Verdict::Again(again) if again.credential_refused => Some(Refusal::Unauthorized),
        Verdict::Again(_)
            if review.expired
                && !review.invocation.evidence.answer_lost
                && !review.invocation.outcomes.contains_key(&one.index) =>
        {
            Some(Refusal::Unauthorized)
        }
        Verdict::Rejected(problem) if problem.http_status == Some(403) => Some(Refusal::Forbidden),
        _ => None,
    }
}

/// Whether the destination said something about the item.
fn reached_destination(verdict: &Verdict) -> bool {
    let Verdict::Again(again) = verdict else {
        return true;
    };
    let answered = again
        .problem
        .as_ref()
        .is_some_and(|problem| problem.http_status.is_some());
    answered || again.attempt_spent || again.conflict || !again.parents.is_empty()
}

/// Why the credential was refused, if it was refused to every item. A refusal of one item among
/// others is about that item.
fn refused_to_all(judged: &[Judged]) -> Option<&Problem> {
    let mut refused = None;
    for one in judged {
        let Verdict::Again(Again {
            credential_refused: true,
            problem: Some(problem),
            ..
        }) = &one.verdict
        else {
            return None;
        };
        refused = Some(problem);
    }
    refused
}
