//! SlotQuota to run: the calls of a connection, and those of a channel over all its connections, never
//! hold all of the runtime's slots, so that a destination that hangs leaves the others theirs; and
//! what admission reserved for a call goes back if the call is not made.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use egression_core::domain::ids::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::work::Route;
use crate::gate::Gate;

/// A guest's place, given back when it is dropped.
#[derive(Debug)]
pub struct ConcurrencyPermit {
    _of_connection: OwnedSemaphorePermit,
    _of_channel: OwnedSemaphorePermit,
}

/// The guests of each connection and channel that may run at once.
#[derive(Debug)]
pub struct SlotQuota {
    of_connection: usize,
    of_channel: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: HashMap<ConnectionId, Arc<Semaphore>>,
    channels: HashMap<String, Arc<Semaphore>>,
}

impl SlotQuota {
    /// Half of the runtime's slots for each connection, three quarters for each channel: one
    /// connection that hangs leaves places to the others of its channel, and one channel that hangs
    /// to the other channels.
    pub fn of_slots(slots: u32) -> Self {
        let slots = slots as usize;
        Self {
            of_connection: (slots / 2).max(1),
            of_channel: (slots * 3 / 4).max(1),
            counts: Mutex::default(),
        }
    }

    pub async fn take(&self, route: &Route) -> Option<ConcurrencyPermit> {
        self.take_of(route.connection, &route.channel_name).await
    }

    async fn take_of(&self, connection: ConnectionId, channel: &str) -> Option<ConcurrencyPermit> {
        let (of_connection, of_channel) = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = |most| move || Arc::new(Semaphore::new(most));
            let of_connection = Arc::clone(
                counts
                    .connections
                    .entry(connection)
                    .or_insert_with(fresh(self.of_connection)),
            );
            (
                of_connection,
                Arc::clone(
                    counts
                        .channels
                        .entry(channel.to_owned())
                        .or_insert_with(fresh(self.of_channel)),
                ),
            )
        };
        // Always in this order, and never closed, so there is a permit of each in the end. What
        // waits for its channel holds up its own connection only.
        let of_connection = of_connection.acquire_owned().await.ok()?;
        Some(ConcurrencyPermit {
            _of_connection: of_connection,
            _of_channel: of_channel.acquire_owned().await.ok()?,
        })
    }

    /// Forgets connections and channels that are gone. Who holds a place of them keeps it.
    pub fn keep_only(&self, connections: &HashSet<ConnectionId>, channels: &HashSet<&str>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .connections
            .retain(|connection, _| connections.contains(connection));
        counts
            .channels
            .retain(|channel, _| channels.contains(channel.as_str()));
    }
}

/// Requests that admission reserved for a call. They go back when this is dropped, unless the call
/// took them over.
#[derive(Debug)]
pub struct ReservationGuard {
    gate: Arc<Gate>,
    owner: String,
    requests: u32,
}

impl ReservationGuard {
    pub fn new(gate: Arc<Gate>, connection: ConnectionId, requests: u32) -> Self {
        Self {
            gate,
            owner: format!("connection:{connection}"),
            requests,
        }
    }

    /// The gate's call is being opened: it takes them over.
    pub fn hand_over(&mut self) {
        self.requests = 0;
    }
}

impl Drop for ReservationGuard {
    fn drop(&mut self) {
        if self.requests > 0 {
            self.gate.unreserve(&self.owner, self.requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_leaves_slots_to_others_and_a_connection_to_others_of_its_channel() {
        let places = SlotQuota::of_slots(4);
        let first = (
            places.take_of(ConnectionId(1), "slow").await,
            places.take_of(ConnectionId(1), "slow").await,
        );
        assert!(
            at_once(places.take_of(ConnectionId(1), "slow")).is_none(),
            "half of them"
        );
        let held = (first, at_once(places.take_of(ConnectionId(2), "slow")));
        assert!(
            held.1.is_some(),
            "another tenant of the channel has its place"
        );
        assert!(
            at_once(places.take_of(ConnectionId(3), "slow")).is_none(),
            "three quarters of them"
        );
        assert!(at_once(places.take_of(ConnectionId(4), "quick")).is_some());
        drop(held);
        assert!(at_once(places.take_of(ConnectionId(3), "slow")).is_some());
    }

    #[tokio::test]
    async fn what_is_gone_is_forgotten() {
        let places = SlotQuota::of_slots(4);
        for connection in 1..=2 {
            drop(
                places
                    .take_of(
                        ConnectionId(connection),
                        if connection == 1 { "a" } else { "b" },
                    )
                    .await,
            );
        }
        places.keep_only(&HashSet::from([ConnectionId(1)]), &HashSet::from(["a"]));
        let counts = places.counts.lock().unwrap();
        assert_eq!((counts.connections.len(), counts.channels.len()), (1, 1));
    }

    /// What a future gives without waiting.
    fn at_once<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => None,
        }
    }
}
