//! The requests that wait for several units of a limit, in the order they came. A later request
//! that needs fewer units must not take each one that becomes free, or the earlier one would
//! starve.

use std::collections::{BTreeMap, HashMap};

use egression_core::scheduler::limits::{Charge, LimitKey, Refusal};

/// The waiting requests by limit, and by ticket. A request that waits for another reason is not
/// listed, so it delays no other.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: HashMap<LimitKey, BTreeMap<u64, Refusal>>,
    limits: HashMap<u64, LimitKey>,
}

impl Waiters {
    /// Sets what a ticket waits for; `None`: nothing that others could take. Returns whether it
    /// waited for another limit before, where others may have waited for it.
    pub fn set(&mut self, ticket: u64, refusal: Option<Refusal>) -> bool {
        let before = self.limits.get(&ticket).cloned();
        self.leave(ticket);
        let left =
            before.is_some_and(|before| refusal.as_ref().is_none_or(|now| now.key != before));
        let Some(refusal) = refusal else { return left };
        self.limits.insert(ticket, refusal.key.clone());
        self.waiting
            .entry(refusal.key.clone())
            .or_default()
            .insert(ticket, refusal);
        left
    }

    /// Removes a ticket. Returns whether others may have waited for it.
    pub fn leave(&mut self, ticket: u64) -> bool {
        let Some(key) = self.limits.remove(&ticket) else {
            return false;
        };
        if let Some(queue) = self.waiting.get_mut(&key) {
            queue.remove(&ticket);
            if queue.is_empty() {
                self.waiting.remove(&key);
            }
        }
        true
    }

    /// The first ticket that is earlier than this one and waits for one of these limits.
    pub fn earlier(&self, shares: &[Charge], ticket: u64) -> Option<Refusal> {
        if self.waiting.is_empty() {
            return None;
        }
        shares
            .iter()
            .find_map(|share| self.waiting.get(&share.key)?.range(..ticket).next())
            .map(|(_, refusal)| refusal.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use egression_core::time::Mono;

    use super::*;

    #[test]
    fn earlier_waiter_goes_first_on_its_limit() {
        let refusal = |key: &str| Refusal {
            until: Mono(5),
            key: LimitKey::new(key),
        };
        let shares = ["own", "shared"].map(|key| Charge::one(LimitKey::new(key)));
        let mut waiters = Waiters::default();
        assert!(
            !waiters.set(7, Some(refusal("shared"))) && !waiters.set(7, Some(refusal("shared")))
        );
        assert_eq!(waiters.earlier(&shares, 8).unwrap(), refusal("shared"));
        assert_eq!(
            (waiters.earlier(&shares, 7), waiters.earlier(&shares, 3)),
            (None, None),
            "no request waits for a later one"
        );
        assert_eq!(waiters.earlier(&shares[..1], 8), None);
        assert!(waiters.set(7, Some(refusal("another"))));
        assert_eq!(waiters.earlier(&shares, 8), None);
        assert!(waiters.leave(7) && !waiters.leave(7));
        assert!(waiters.waiting.is_empty() && waiters.limits.is_empty());
    }
}
