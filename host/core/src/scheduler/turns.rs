//! Taking turns: subscriptions by weight (stride scheduling), so that a bulk of one delays no other.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{ConnectionId, SubscriptionId};

/// One weight unit's stride. A subscription of weight w moves 1/w of it per call.
const STRIDE: u64 = 1 << 20;

/// Which subscription goes next, and which of its connections.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How far each subscription is.
    passes: BTreeMap<SubscriptionId, u64>,
    /// Subscriptions that may have something to send, least advanced first.
    order: BTreeSet<(u64, SubscriptionId)>,
    /// Connections that may have something to send, each subscription's in the order of their turns.
    armed: BTreeMap<SubscriptionId, Vec<ConnectionId>>,
}

impl Turns {
    /// A connection may have something to send.
    pub(super) fn arm(&mut self, subscription: SubscriptionId, connection: ConnectionId) {
        let ring = self.armed.entry(subscription).or_default();
        if ring.contains(&connection) {
            return;
        }
        ring.push(connection);
        if ring.len() == 1 {
            // One that was idle starts level with the least advanced, so that it cannot save up turns.
            let floor = self.order.first().map_or(0, |(pass, _)| *pass);
            let pass = self.passes.entry(subscription).or_insert(floor);
            *pass = (*pass).max(floor);
            self.order.insert((*pass, subscription));
        }
    }

    /// The connection whose turn it is.
    pub(super) fn front(&self) -> Option<(SubscriptionId, ConnectionId)> {
        let (_, subscription) = self.order.first()?;
        Some((*subscription, *self.armed.get(subscription)?.first()?))
    }

    /// The front connection has nothing to send for now.
    pub(super) fn disarm(&mut self, subscription: SubscriptionId, connection: ConnectionId) {
        let Some(ring) = self.armed.get_mut(&subscription) else { return };
        ring.retain(|c| *c != connection);
        if ring.is_empty() {
            self.armed.remove(&subscription);
            if let Some(pass) = self.passes.get(&subscription) {
                self.order.remove(&(*pass, subscription));
            }
        }
    }

    /// The front connection started a call.
    pub(super) fn advance(&mut self, subscription: SubscriptionId, weight: u32) {
        if let Some(ring) = self.armed.get_mut(&subscription) {
            let step = usize::from(!ring.is_empty());
            ring.rotate_left(step);
        }
        if let Some(pass) = self.passes.get_mut(&subscription) {
            self.order.remove(&(*pass, subscription));
            *pass += STRIDE / u64::from(weight.max(1));
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
        turns.arm(SubscriptionId(1), ConnectionId(1));
        turns.arm(SubscriptionId(2), ConnectionId(2));
        let mut picks = [0, 0];
        for _ in 0..300 {
            let (subscription, _) = turns.front().expect("both are armed");
            let (slot, weight) = if subscription.0 == 1 { (0, 1) } else { (1, 2) };
            picks[slot] += 1;
            turns.advance(subscription, weight);
        }
        assert_eq!(picks, [100, 200]);
    }

    #[test]
    fn an_idle_subscription_saves_no_turns() {
        let mut turns = Turns::default();
        turns.arm(SubscriptionId(1), ConnectionId(1));
        for _ in 0..1000 {
            turns.advance(SubscriptionId(1), 1);
        }
        turns.arm(SubscriptionId(2), ConnectionId(2));
        let mut second = 0;
        for _ in 0..10 {
            let (subscription, _) = turns.front().expect("both are armed");
            second += i32::from(subscription.0 == 2);
            turns.advance(subscription, 1);
        }
        assert!((4..=6).contains(&second), "{second}");
    }
}
