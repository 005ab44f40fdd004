//! Jobs that go back to waiting: ready at once, or with a reason that the store keeps.

use egression_core::domain::ids::JobSeq;
use egression_core::domain::object::ObjectKey;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{EarlierSend, State, Wait};
use egression_core::domain::transition::Event;

use crate::store::StoreError;
use crate::store::dependencies::edges::{self, Child};
use crate::store::engine::writer::WriteTx;
use crate::store::lifecycle::transition::{JobChanges, JobFields, LockedJob};
use crate::store::lifecycle::{blocked_keys, ending, intents};

/// A job that starts to wait.
#[derive(Debug)]
pub struct Waiter {
    pub job: LockedJob,
    pub wait: Wait,
    /// What the attempt may have left at the destination.
    pub left: EarlierSend,
    /// Dependency: the objects, with the unfinished job of each if one is known.
    pub parents: Vec<(ObjectKey, Option<JobSeq>)>,
    pub problem: Option<Problem>,
}

impl Waiter {
    const fn is_child(&self) -> bool {
        matches!(self.wait, Wait::Dependency { .. })
    }
}

/// Lets jobs wait.
pub async fn begin(
    tx: &mut WriteTx,
    changes: &mut JobChanges,
    waiters: Vec<Waiter>,
) -> Result<(), StoreError> {
    if waiters.is_empty() {
        return Ok(());
    }
    let children: Vec<_> = waiters
        .iter()
        .filter(|waiter| waiter.is_child())
        .map(|waiter| Child {
            job: waiter.job.job,
            connection: waiter.job.connection,
            parents: &waiter.parents,
        })
        .collect();
    let held = edges::add(tx, changes, &children).await?;
    let moves = waiters
        .iter()
        .map(|waiter| {
            let wait = if waiter.is_child() && !held.contains(&waiter.job.job) {
                Wait::Ready
            } else {
                waiter.wait
            };
            let left = waiter.left;
            let mut next = waiter.job.fields.after(Event::Waits { wait, left })?;
            next.problem_code = waiter.problem.as_ref().map(|problem| problem.code.clone());
            Ok((waiter.job.clone(), next))
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    settle_intents(tx, &moves).await?;
    changes.apply(tx, moves).await?;
    let problems = waiters
        .iter()
        .map(|waiter| (&waiter.job, waiter.problem.as_ref()));
    ending::keep_problems(tx, problems).await?;
    for waiter in waiters.iter().filter(|waiter| waiter.wait == Wait::Blocked) {
        let reason = waiter
            .problem
            .as_ref()
            .map_or("blocked", |problem| problem.message.as_str());
        blocked_keys::block(tx, changes, &waiter.job, reason).await?;
    }
    Ok(())
}

/// Closes the intents of jobs that were in flight. The bytes stay pinned unless it is proven that
/// nothing was applied.
async fn settle_intents(
    tx: &mut WriteTx,
    moves: &[(LockedJob, JobFields)],
) -> Result<(), StoreError> {
    let (mut pinned, mut lost, mut free) = (Vec::new(), Vec::new(), Vec::new());
    for (job, next) in moves {
        if let (State::InFlight { .. }, State::Waiting { earlier, .. }) =
            (&job.fields.state, &next.state)
        {
            match earlier {
                EarlierSend::None => &mut free,
                EarlierSend::Pinned => &mut pinned,
                EarlierSend::AnswerLost => &mut lost,
            }
            .push(job.job);
        }
    }
    intents::close(tx, &pinned, &lost).await?;
    intents::forget(tx, &free).await
}
