//! The permits that a request holds while the host serves it.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::keyed_limit::Permit;
use super::quota::QuotaState;

/// The permits of one request. A request that only waits releases them early.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    permits: Arc<Mutex<Permits>>,
    quota: Arc<OnceLock<QuotaState>>,
}

/// One of the host's permits and one of the caller's.
pub type Permits = (Option<OwnedSemaphorePermit>, Option<Permit>);

impl Serving {
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permits: Arc::new(Mutex::new((Some(permit), None))),
            quota: Arc::default(),
        }
    }

    /// Adds the caller's permit, once the caller is known.
    pub fn add(&self, permit: Permit) {
        self.permits.lock().1 = Some(permit);
    }

    /// The caller's quota, for the response headers.
    pub fn set_quota(&self, quota: QuotaState) {
        // A request counts against the quota once.
        let _ = self.quota.set(quota);
    }

    pub fn quota(&self) -> Option<QuotaState> {
        self.quota.get().copied()
    }

    pub fn release(&self) {
        drop(self.take());
    }

    /// Moves the permits into a response body that is still streaming when the handler returns.
    pub fn take(&self) -> Permits {
        std::mem::take(&mut *self.permits.lock())
    }
}
