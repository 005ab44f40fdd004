//! What one caller may hold of the host at once, so that nobody can take all of it from the others.
//!
//! Shares are counted by [`Holder`]: keys that are bound to one subscription have one share
//! together, because an admin key of that subscription can make as many keys as it likes. What all
//! callers together may hold is left to `fault.rs` and `submit.rs`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use egression_core::domain::ids::SubscriptionId;
use tokio::sync::OwnedSemaphorePermit;

use super::quota::Standing;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// All keys that are bound to this subscription.
    Subscription(SubscriptionId),
    /// One key that is bound to none, by its public id.
    Key(String),
}

/// What is held of one bound, by holder.
#[derive(Debug)]
pub struct Shares {
    most: u32,
    held: Mutex<HashMap<Holder, u32>>,
}

/// One place of a holder's share, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    holder: Holder,
}

impl Shares {
    /// Nothing is held. `most`: what one holder may hold at once.
    #[must_use]
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: Mutex::default(),
        })
    }

    /// A place; none while the holder has all of its share.
    #[must_use]
    pub fn take(self: &Arc<Self>, holder: Holder) -> Option<Share> {
        let mut held = self.lock();
        if held.get(&holder).copied().unwrap_or(0) >= self.most {
            return None;
        }
        *held.entry(holder.clone()).or_insert(0) += 1;
        drop(held);
        Some(Share {
            shares: Arc::clone(self),
            holder,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Holder, u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.lock();
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            // Whoever holds nothing is forgotten: memory does not grow with the keys that were ever
            // seen.
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

/// The places that a request holds while it is being served. A request that only waits gives them
/// up.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    places: Arc<Mutex<Places>>,
    standing: Arc<OnceLock<Standing>>,
}

/// What a request holds: a place among all that are being served, and one of its caller's.
pub type Places = (Option<OwnedSemaphorePermit>, Option<Share>);

impl Serving {
    /// A request that was let in.
    #[must_use]
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            places: Arc::new(Mutex::new((Some(permit), None))),
            standing: Arc::default(),
        }
    }

    /// Its caller is known now, and has a place for it.
    pub fn count_for(&self, share: Share) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(share);
    }

    /// What its caller has left of its quota, to be said in the answer.
    pub fn stands(&self, standing: Standing) {
        // A request draws once.
        let _ = self.standing.set(standing);
    }

    /// What its caller has left, if it has drawn.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.standing.get().copied()
    }

    pub fn end(&self) {
        drop(self.hand_over());
    }

    /// Hands its places to what goes on when the answer has begun: a stream.
    #[must_use]
    pub fn hand_over(&self) -> Places {
        std::mem::take(&mut *self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_holders_own_and_comes_back() {
        let shares = Shares::new(2);
        let own = || Holder::Subscription(SubscriptionId(1));
        let held = (shares.take(own()).unwrap(), shares.take(own()).unwrap());
        assert!(shares.take(own()).is_none());
        assert!(shares.take(Holder::Key("key_1".into())).is_some());
        drop(held.0);
        assert!(shares.take(own()).is_some());
        drop(held.1);
        assert!(
            shares.lock().is_empty(),
            "nothing is kept of those who hold nothing"
        );
    }
}
