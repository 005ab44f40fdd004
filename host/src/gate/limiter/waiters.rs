//! Who waits for several units of a limit, in the order in which they came: whoever comes later and
//! needs fewer must not take each as it appears, or the one who needs many would wait for ever.

use std::collections::{BTreeMap, HashMap};

use egression_core::scheduler::limits::{LimitKey, Refusal, Share};

/// The waiting requests by the limit that each waits for. A request that waits for another reason
/// is not here, so it holds up nobody.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: HashMap<LimitKey, BTreeMap<u64, Refusal>>,
    places: HashMap<u64, LimitKey>,
}

impl Waiters {
    /// What the request in this place waits for from now on; none: nothing that others could take.
    /// True: it waited for something else before, and others may have waited for that.
    pub fn set(&mut self, place: u64, refusal: Option<Refusal>) -> bool {
        let before = self.places.get(&place).cloned();
        self.leave(place);
        let left =
            before.is_some_and(|before| refusal.as_ref().is_none_or(|now| now.key != before));
        let Some(refusal) = refusal else { return left };
        self.places.insert(place, refusal.key.clone());
        self.waiting
            .entry(refusal.key.clone())
            .or_default()
            .insert(place, refusal);
        left
    }

    /// It waits no longer. True: others may have waited for that.
    pub fn leave(&mut self, place: u64) -> bool {
        let Some(key) = self.places.remove(&place) else {
            return false;
        };
        if let Some(queue) = self.waiting.get_mut(&key) {
            queue.remove(&place);
            if queue.is_empty() {
                self.waiting.remove(&key);
            }
        }
        true
    }

    /// The first of those who came before this place and wait for one of these limits.
    pub fn earlier(&self, shares: &[Share], place: u64) -> Option<Refusal> {
        if self.waiting.is_empty() {
            return None;
        }
        shares
            .iter()
            .find_map(|share| self.waiting.get(&share.key)?.range(..place).next())
            .map(|(_, refusal)| refusal.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use egression_core::time::Mono;

    use super::*;

    #[test]
    fn who_came_before_goes_first_on_the_limit_that_it_waits_for() {
        let refusal = |key: &str| Refusal {
            until: Mono(5),
            key: LimitKey::new(key),
        };
        let shares = ["own", "shared"].map(|key| Share::one(LimitKey::new(key)));
        let mut queues = Waiters::default();
        assert!(!queues.set(7, Some(refusal("shared"))) && !queues.set(7, Some(refusal("shared"))));
        assert_eq!(queues.earlier(&shares, 8).unwrap(), refusal("shared"));
        assert_eq!(
            (queues.earlier(&shares, 7), queues.earlier(&shares, 3)),
            (None, None),
            "nobody waits for who came later"
        );
        assert_eq!(queues.earlier(&shares[..1], 8), None);
        assert!(queues.set(7, Some(refusal("another"))));
        assert_eq!(queues.earlier(&shares, 8), None);
        assert!(queues.leave(7) && !queues.leave(7));
        assert!(queues.waiting.is_empty() && queues.places.is_empty());
    }
}
