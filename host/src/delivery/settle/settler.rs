//! Writes settlements, however long the store takes.

use egression_core::domain::ids::JobSeq;
use egression_core::time::Wall;

use crate::delivery::finished::{Disposed, Effect, Finished};
use crate::delivery::job_store::JobStore;
use crate::store::rows::{Settlement, Transition};

#[derive(Debug)]
pub struct Settler {
    store: JobStore,
}

impl Settler {
    pub const fn new(store: JobStore) -> Self {
        Self { store }
    }

    /// Writes the settlements of jobs that leave, and adds the jobs to the delivery's sum.
    pub async fn settle(&self, disposed: Disposed, finished: &mut Finished) {
        let Disposed {
            settlements,
            jobs,
            effect,
        } = disposed;
        finished.jobs.extend(jobs);
        if effect != Effect::None {
            finished.effect = effect;
        }
        if settlements.is_empty() {
            return;
        }
        let due = settlements.iter().filter_map(due_of);
        finished.due = due.chain(finished.due).min();
        match self.store.settle(&settlements).await {
            Ok(changes) => finished.changes.absorb(changes),
            // The store is closing, or a row is unreadable. The intents stay open, and the next
            // start takes them up.
            Err(error) => {
                let first = settlements.first().map(|settlement| settlement.job);
                tracing::error!(
                    %error,
                    jobs = settlements.len(),
                    job.seq = first.map(|JobSeq(job)| job),
                    "cannot write outcomes; their intents stay open"
                );
            }
        }
    }
}

/// When the wait that a settlement writes ends.
const fn due_of(settlement: &Settlement) -> Option<Wall> {
    match &settlement.to {
        Transition::Waits { until, .. } => *until,
        Transition::Ended { .. } => None,
    }
}
