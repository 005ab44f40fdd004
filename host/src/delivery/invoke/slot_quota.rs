//! How many guests a connection and a channel may run at once, so that a destination that hangs
//! leaves slots to the others; and the requests that admission reserved for a call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, Owner};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::route::Route;
use crate::gate::Gate;

/// Lets one guest run; returned when it is dropped.
#[derive(Debug)]
pub struct ConcurrencyPermit {
    _of_connection: OwnedSemaphorePermit,
    _of_channel: OwnedSemaphorePermit,
}

/// The guests of each connection and channel that may run at once.
#[derive(Debug)]
pub struct SlotQuota {
    per_connection: usize,
    per_channel: usize,
    semaphores: Mutex<Semaphores>,
}

#[derive(Debug, Default)]
struct Semaphores {
    connections: HashMap<ConnectionId, Arc<Semaphore>>,
    channels: HashMap<String, Arc<Semaphore>>,
}

impl SlotQuota {
    /// Half of the runtime's slots for each connection, three quarters for each channel: a
    /// connection that hangs leaves slots to the other connections of its channel, and a channel
    /// that hangs leaves slots to the other channels.
    pub fn new(slots: u32) -> Self {
        let slots = slots as usize;
        Self {
            per_connection: (slots / 2).max(1),
            per_channel: (slots * 3 / 4).max(1),
            semaphores: Mutex::default(),
        }
    }

    pub async fn acquire(&self, route: &Route) -> Option<ConcurrencyPermit> {
        self.acquire_for(route.connection, &route.document.channel)
            .await
    }

    async fn acquire_for(
        &self,
        connection: ConnectionId,
        channel: &str,
    ) -> Option<ConcurrencyPermit> {
        let (of_connection, of_channel) = {
            let mut semaphores = self.semaphores.lock();
            let new = |permits| move || Arc::new(Semaphore::new(permits));
            let of_connection = semaphores
                .connections
                .entry(connection)
                .or_insert_with(new(self.per_connection));
            let of_connection = Arc::clone(of_connection);
            let of_channel = semaphores
                .channels
                .entry(channel.to_owned())
                .or_insert_with(new(self.per_channel));
            (of_connection, Arc::clone(of_channel))
        };
        // Always in this order, and the semaphores are never closed, so both permits come in the
        // end. A call that waits for its channel holds up its own connection only.
        Some(ConcurrencyPermit {
            _of_connection: of_connection.acquire_owned().await.ok()?,
            _of_channel: of_channel.acquire_owned().await.ok()?,
        })
    }

    /// Forgets connections and channels that are gone. Their permits stay valid.
    pub fn keep_only(&self, connections: &HashSet<ConnectionId>, channels: &HashSet<&str>) {
        let mut semaphores = self.semaphores.lock();
        semaphores
            .connections
            .retain(|connection, _| connections.contains(connection));
        semaphores
            .channels
            .retain(|channel, _| channels.contains(channel.as_str()));
    }
}

/// Requests that admission reserved for a call. They are returned when this is dropped, unless the
/// call took them over.
#[derive(Debug)]
pub struct ReservationGuard {
    gate: Arc<Gate>,
    owner: Owner,
    requests: u32,
}

impl ReservationGuard {
    pub fn new(gate: Arc<Gate>, connection: ConnectionId, requests: u32) -> Self {
        Self {
            gate,
            owner: Owner::Connection(connection),
            requests,
        }
    }

    /// The gate's call is being opened and takes these requests over; 0: an earlier one did.
    pub const fn hand_over(&mut self) -> u32 {
        std::mem::replace(&mut self.requests, 0)
    }
}

impl Drop for ReservationGuard {
    fn drop(&mut self) {
        if self.requests > 0 {
            self.gate.unreserve(self.owner, self.requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn quota_leaves_slots_to_other_channels_and_to_other_connections_of_a_channel() {
        let quota = SlotQuota::new(4);
        let first = (
            quota.acquire_for(ConnectionId(1), "slow").await,
            quota.acquire_for(ConnectionId(1), "slow").await,
        );
        assert!(
            at_once(quota.acquire_for(ConnectionId(1), "slow")).is_none(),
            "half of them"
        );
        let held = (first, at_once(quota.acquire_for(ConnectionId(2), "slow")));
        assert!(
            held.1.is_some(),
            "another tenant of the channel has its slot"
        );
        assert!(
            at_once(quota.acquire_for(ConnectionId(3), "slow")).is_none(),
            "three quarters of them"
        );
        assert!(at_once(quota.acquire_for(ConnectionId(4), "quick")).is_some());
        drop(held);
        assert!(at_once(quota.acquire_for(ConnectionId(3), "slow")).is_some());
    }

    #[tokio::test]
    async fn quota_forgets_connections_and_channels_that_are_gone() {
        let quota = SlotQuota::new(4);
        for (connection, channel) in [(1, "a"), (2, "b")] {
            drop(quota.acquire_for(ConnectionId(connection), channel).await);
        }
        quota.keep_only(&HashSet::from([ConnectionId(1)]), &HashSet::from(["a"]));
        let semaphores = quota.semaphores.lock();
        assert_eq!(
            (semaphores.connections.len(), semaphores.channels.len()),
            (1, 1)
        );
    }

    /// What a future yields without waiting.
    fn at_once<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => None,
        }
    }
}
