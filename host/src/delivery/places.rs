//! Places to run: a connection's calls never hold all of the runtime's slots, so that one whose destination hangs leaves
//! the others theirs; and what admission reserved for a call goes back if the call is not made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use egression_core::domain::ids::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gate::Gate;

/// A guest's place, given back when it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// The guests of each connection that may run at once.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    by_connection: Mutex<HashMap<ConnectionId, Arc<Semaphore>>>,
}

impl Places {
    /// Half of the runtime's slots for each connection.
    pub(super) fn of_slots(slots: u32) -> Self {
        Self { most: (slots as usize / 2).max(1), by_connection: Mutex::default() }
    }

    /// Waits for a place.
    pub(super) async fn take(&self, connection: ConnectionId) -> Option<Place> {
        let places = {
            let mut by_connection = self.by_connection.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(by_connection.entry(connection).or_insert_with(|| Arc::new(Semaphore::new(self.most))))
        };
        // Never closed, so there is always a permit in the end.
        places.acquire_owned().await.ok()
    }
}

/// Requests that admission reserved for a call. They go back when this is dropped, unless the call took them over.
#[derive(Debug)]
pub(super) struct Reserved {
    gate: Arc<Gate>,
    owner: String,
    requests: u32,
}

impl Reserved {
    pub(super) fn new(gate: Arc<Gate>, connection: ConnectionId, requests: u32) -> Self {
        Self { gate, owner: format!("connection:{connection}"), requests }
    }

    /// The gate's call is being opened: it takes them over.
    pub(super) fn hand_over(&mut self) {
        self.requests = 0;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.requests > 0 {
            self.gate.unreserve(&self.owner, self.requests);
        }
    }
}
