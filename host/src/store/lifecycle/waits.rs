//! Jobs that go back to waiting: ready at once, or with a reason that the store keeps.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::store::StoreError;
use crate::store::dependencies::edges;
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{JobChanges, LockedJob};
use crate::store::lifecycle::{blocked_keys, ending, intents};

/// The wait of one job.
#[derive(Debug)]
pub(in crate::store) struct Wait {
    pub(in crate::store) job: LockedJob,
    /// A stored kind; none: ready.
    pub(in crate::store) reason: Option<WaitingKind>,
    pub(in crate::store) until: Option<Wall>,
    /// Dependency: the objects, with the unfinished job of each if one is known.
    pub(in crate::store) parents: Vec<(ObjectKey, Option<JobSeq>)>,
    pub(in crate::store) problem: Option<Problem>,
    pub(in crate::store) keep_pinned: bool,
    pub(in crate::store) answer_lost: bool,
}

pub(in crate::store) async fn begin(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    waits: Vec<Wait>,
) -> Result<(), StoreError> {
    if waits.is_empty() {
        return Ok(());
    }
    if let Some(wrong) = waits
        .iter()
        .find(|wait| wait.reason.is_some_and(|reason| !reason.is_stored()))
    {
        return Err(StoreError::Corrupt(format!(
            "job {}: a reason that is not stored",
            wrong.job.job
        )));
    }
    let edges = edges::add(tx, changes, &waits).await?;
    let moved = waits
        .iter()
        .map(|wait| {
            let mut next = match wait.reason {
                Some(WaitingKind::Dependency) if !edges.holds(wait.job.job) => {
                    wait.job.standing.waits(None, None)
                }
                // A wait that only time ends must have a time.
                reason @ Some(WaitingKind::Retry | WaitingKind::Source | WaitingKind::Schedule) => {
                    wait.job
                        .standing
                        .waits(reason, wait.until.or(Some(changes.now)))
                }
                reason => wait.job.standing.waits(reason, wait.until),
            };
            let since = next.waits_since.or(Some(changes.now));
            next.waits_since = since.filter(|_| next.waiting == Some(WaitingKind::Dependency));
            next.problem_code = wait.problem.as_ref().map(|problem| problem.code.clone());
            (wait.job.clone(), next)
        })
        .collect();
    changes.apply(tx, moved).await?;
    settle_intents(tx, &waits).await?;
    ending::keep_problems(
        tx,
        waits.iter().map(|wait| (&wait.job, wait.problem.as_ref())),
    )
    .await?;
    for wait in waits
        .iter()
        .filter(|wait| wait.reason == Some(WaitingKind::Blocked))
    {
        let reason = wait
            .problem
            .as_ref()
            .map_or("blocked", |problem| problem.message.as_str());
        blocked_keys::block(tx, changes, &wait.job, reason).await?;
    }
    Ok(())
}

/// Only an outcome that proves 'not applied' lets the body be resolved anew. A job that was not in
/// flight has nothing to prove.
async fn settle_intents(tx: &mut WriteTx, waits: &[Wait]) -> Result<(), StoreError> {
    let with_intent = || waits.iter().filter(|wait| wait.job.intent.is_some());
    let settled = |wait: &&Wait| wait.job.intent.is_some_and(|(_, open)| open);
    let kept: Vec<_> = with_intent()
        .filter(settled)
        .filter(|wait| wait.keep_pinned)
        .map(|wait| (wait.job.job, wait.answer_lost))
        .collect();
    intents::keep(tx, &kept).await?;
    let forgotten: Vec<_> = with_intent()
        .filter(settled)
        .filter(|wait| !wait.keep_pinned)
        .map(|wait| wait.job.job)
        .collect();
    intents::forget(tx, &forgotten).await
}
