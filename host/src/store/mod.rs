//! All SQL: one function per question asked. The only place that knows the database.
//!
//! Writes go through one writer that groups them into transactions (`BEGIN IMMEDIATE`, `synchronous=FULL`) and
//! answers after the commit. Reads use short-lived reader connections. Database work runs in tasks of its own: a
//! caller that goes away never cancels a statement.

pub mod acts;
pub mod connectors;
pub mod delivery;
pub mod documents;
pub mod error;
pub mod keys;
pub mod limits;
pub mod rows;
pub mod scheduling;
pub mod secrets;
pub mod submission;
pub mod tracking;

use std::path::Path;

use egression_core::domain::ids::ExecutionSeq;
use tokio::sync::broadcast;

pub use error::StoreError;

use crate::clock::Clock;

/// The job store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens or creates `egression.db` in `data_dir`, takes the operating system's lock on the data directory,
    /// migrates, and removes executions that were never sealed.
    ///
    /// # Errors
    /// [`StoreError::Held`] with the holder if another host has the lock; else what the database says.
    pub async fn open(data_dir: &Path, clock: Clock) -> Result<Self, StoreError> {
        let _ = (data_dir, clock);
        todo!()
    }

    /// Executions whose state changed, after the commit. A receiver that lags reads the state anew.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<ExecutionSeq> {
        todo!()
    }

    /// Waits for writes under way and closes the database.
    pub async fn close(&self) {
        todo!()
    }
}
