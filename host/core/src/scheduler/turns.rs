//! Whose turn it is: subscriptions take turns by weight (stride scheduling), so that a bulk of one
//! does not delay another.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{ConnectionId, SubscriptionId};

/// One weight unit's stride. A subscription of weight w moves 1/w of it per call.
const STRIDE: u64 = 1 << 20;

/// Which subscription is next, and which of its connections.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How far each subscription has advanced.
    passes: BTreeMap<SubscriptionId, u64>,
    /// Subscriptions that may have something to send, least advanced first.
    order: BTreeSet<(u64, SubscriptionId)>,
    /// Connections that may have something to send, by subscription, in the order of their turns.
    queued: BTreeMap<SubscriptionId, Vec<ConnectionId>>,
    /// The pass of the last subscription before its turn.
    reached: u64,
}

impl Turns {
    /// A connection may have something to send.
    pub(super) fn enqueue(&mut self, subscription: SubscriptionId, connection: ConnectionId) {
        let ring = self.queued.entry(subscription).or_default();
        if ring.contains(&connection) {
            return;
        }
        ring.push(connection);
        if ring.len() == 1 {
            // A subscription that was idle starts level with the others, so that it cannot save up
            // turns. The queued ones do not tell how far the others are, because most of the time
            // all of them wait for something.
            let pass = self.passes.entry(subscription).or_insert(self.reached);
            *pass = (*pass).max(self.reached);
            self.order.insert((*pass, subscription));
        }
    }

    /// The connection whose turn it is.
    pub(super) fn front(&self) -> Option<(SubscriptionId, ConnectionId)> {
        let (_, subscription) = self.order.first()?;
        Some((*subscription, *self.queued.get(subscription)?.first()?))
    }

    /// A connection has nothing to send for now.
    pub(super) fn dequeue(&mut self, subscription: SubscriptionId, connection: ConnectionId) {
        let Some(ring) = self.queued.get_mut(&subscription) else {
            return;
        };
        ring.retain(|c| *c != connection);
        if ring.is_empty() {
            self.queued.remove(&subscription);
            if let Some(pass) = self.passes.get(&subscription) {
                self.order.remove(&(*pass, subscription));
            }
        }
    }

    /// The front connection started a call.
    pub(super) fn advance(&mut self, subscription: SubscriptionId, weight: u32) {
        if let Some(ring) = self.queued.get_mut(&subscription) {
            let step = usize::from(!ring.is_empty());
            ring.rotate_left(step);
        }
        if let Some(pass) = self.passes.get_mut(&subscription) {
            self.order.remove(&(*pass, subscription));
            self.reached = self.reached.max(*pass);
            *pass += (STRIDE / u64::from(weight.max(1))).max(1);
            self.order.insert((*pass, subscription));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_weights() {
        let mut turns = Turns::default();
        turns.enqueue(SubscriptionId(1), ConnectionId(1));
        turns.enqueue(SubscriptionId(2), ConnectionId(2));
        let mut picks = [0, 0];
        for _ in 0..300 {
            let (subscription, _) = turns.front().expect("both are queued");
            let (slot, weight) = if subscription.0 == 1 { (0, 1) } else { (1, 2) };
            picks[slot] += 1;
            turns.advance(subscription, weight);
        }
        assert_eq!(picks, [100, 200]);
    }

    #[test]
    fn idle_subscription_saves_no_turns() {
        let mut turns = Turns::default();
        turns.enqueue(SubscriptionId(1), ConnectionId(1));
        for _ in 0..1000 {
            turns.advance(SubscriptionId(1), 1);
        }
        turns.enqueue(SubscriptionId(2), ConnectionId(2));
        let mut second = 0;
        for _ in 0..10 {
            let (subscription, _) = turns.front().expect("both are queued");
            second += i32::from(subscription.0 == 2);
            turns.advance(subscription, 1);
        }
        assert!((4..=6).contains(&second), "{second}");
    }

    #[test]
    fn turns_persist_while_all_wait() {
        let mut turns = Turns::default();
        turns.enqueue(SubscriptionId(1), ConnectionId(1));
        for _ in 0..1000 {
            turns.advance(SubscriptionId(1), 1);
        }
        turns.dequeue(SubscriptionId(1), ConnectionId(1));
        let mut first = 0;
        for round in 0..20 {
            // Both come back from a limit; the new one first.
            turns.enqueue(SubscriptionId(2), ConnectionId(2));
            turns.enqueue(SubscriptionId(1), ConnectionId(1));
            let (subscription, _) = turns.front().expect("both are queued");
            first += i32::from(subscription.0 == 1);
            turns.advance(subscription, 1);
            for id in if round % 2 == 0 { [1, 2] } else { [2, 1] } {
                turns.dequeue(SubscriptionId(id), ConnectionId(id));
            }
        }
        assert!((9..=11).contains(&first), "{first}");
    }

    #[test]
    fn connections_of_a_subscription_take_turns() {
        let mut turns = Turns::default();
        turns.enqueue(SubscriptionId(1), ConnectionId(1));
        turns.enqueue(SubscriptionId(1), ConnectionId(2));
        turns.enqueue(SubscriptionId(1), ConnectionId(2));
        let mut seen = Vec::new();
        for _ in 0..4 {
            let (subscription, connection) = turns.front().expect("both are queued");
            seen.push(connection.0);
            turns.advance(subscription, 7);
        }
        assert_eq!(seen, [1, 2, 1, 2]);
        turns.dequeue(SubscriptionId(1), ConnectionId(1));
        turns.dequeue(SubscriptionId(1), ConnectionId(2));
        assert_eq!(turns.front(), None);
    }
}
