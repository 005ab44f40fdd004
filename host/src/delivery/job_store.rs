//! What a delivery asks the store and writes to it. Each call is repeated until the store takes it
//! or refuses for good.

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::object::ObjectKey;

use super::job_with_bytes::Work;
use super::retry_until_stored::retry_until_stored;
use crate::clock::Clock;
use crate::store::rows::{Changes, ClaimRow, NewIntent, Settlement};
use crate::store::{Store, StoreError};

/// An object that a job waits for, with the object's unfinished job if one is known.
pub type Parent = (ObjectKey, Option<JobSeq>);

#[derive(Clone, Debug)]
pub struct JobStore {
    store: Store,
    clock: Clock,
}

impl JobStore {
    pub const fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    pub const fn store(&self) -> &Store {
        &self.store
    }

    pub async fn claim(&self, jobs: &[JobSeq]) -> Result<Vec<ClaimRow>, StoreError> {
        retry_until_stored(&self.clock, || self.store.claim(jobs)).await
    }

    /// Opens intents; returns the jobs that may be sent.
    pub async fn open_intents(&self, intents: &[NewIntent]) -> Result<Vec<JobSeq>, StoreError> {
        retry_until_stored(&self.clock, || self.store.open_intent(intents.to_vec())).await
    }

    pub async fn settle(&self, settlements: &[Settlement]) -> Result<Changes, StoreError> {
        retry_until_stored(&self.clock, || self.store.settle(settlements.to_vec())).await
    }

    /// The same for jobs that wait for an object.
    pub async fn settle_children(&self, settlements: &[Settlement]) -> Result<Changes, StoreError> {
        retry_until_stored(&self.clock, || {
            self.store.settle_children(settlements.to_vec())
        })
        .await
    }

    /// The unfinished job of each object, for the job that asks.
    pub async fn unfinished_parents(
        &self,
        connection: ConnectionId,
        asked: &[(JobSeq, ObjectKey)],
    ) -> Result<Vec<Option<JobSeq>>, StoreError> {
        retry_until_stored(&self.clock, || {
            self.store.unfinished_parents(connection, asked)
        })
        .await
    }

    /// Whether each object is known to be at the destination.
    pub async fn are_there(
        &self,
        connection: ConnectionId,
        objects: &[ObjectKey],
    ) -> Result<Vec<bool>, StoreError> {
        retry_until_stored(&self.clock, || self.store.are_there(connection, objects)).await
    }

    /// The pairs of a child and a parent that close a circle of waits.
    pub async fn circles(
        &self,
        connection: ConnectionId,
        pairs: &[(JobSeq, ObjectKey, Option<JobSeq>)],
    ) -> Vec<(JobSeq, ObjectKey)> {
        if pairs.is_empty() {
            return Vec::new();
        }
        let circular =
            retry_until_stored(&self.clock, || self.store.close_cycles(connection, pairs)).await;
        match circular {
            Ok(circular) => pairs
                .iter()
                .zip(circular)
                .filter(|(_, circular)| *circular)
                .map(|((job, object, _), _)| (*job, object.clone()))
                .collect(),
            Err(error) => {
                tracing::error!(%error, "cannot read which jobs wait for each other");
                Vec::new()
            }
        }
    }

    /// Fills in what the id map knows of the objects that the bodies refer to.
    pub async fn look_up_references(
        &self,
        connection: ConnectionId,
        work: &mut [Work],
    ) -> Result<(), StoreError> {
        let targets: Vec<ObjectKey> = work
            .iter()
            .flat_map(|item| {
                item.references
                    .iter()
                    .map(|reference| reference.target.clone())
            })
            .collect();
        let remotes =
            retry_until_stored(&self.clock, || self.store.remotes(connection, &targets)).await?;
        let references = work.iter_mut().flat_map(|item| &mut item.references);
        for (reference, remotes) in references.zip(remotes) {
            reference.remotes = remotes;
        }
        Ok(())
    }
}
