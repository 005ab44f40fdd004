//! The state that all handlers of one shop share.
//!
//! It has three locks: arrivals, store (objects and writes) and tokens. A lock is held briefly,
//! never across an await, and never inside another lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    arrivals::Arrivals,
    catalogue::Store,
    clock::Clock,
    scenario::{Scenario, ScenarioChange, ScenarioError},
    tokens::Tokens,
};

#[derive(Debug)]
pub(crate) struct ShopState {
    pub(crate) clock: Clock,
    arrivals: Mutex<Arrivals>,
    store: Mutex<Store>,
    tokens: Mutex<Tokens>,
}

impl ShopState {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let scenario = Arc::new(scenario);
        Self {
            clock: Clock::start(),
            store: Mutex::new(Store::new(&scenario)),
            tokens: Mutex::new(Tokens::default()),
            arrivals: Mutex::new(Arrivals::new(scenario)),
        }
    }

    pub(crate) fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        lock(&self.arrivals)
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    /// Continues under a changed scenario.
    pub(crate) fn change(&self, change: ScenarioChange) -> Result<(), ScenarioError> {
        let scenario = {
            let mut arrivals = self.arrivals();
            let scenario = Arc::new(arrivals.scenario().changed(change)?);
            arrivals.change(Arc::clone(&scenario));
            scenario
        };
        self.store().change(&scenario);
        Ok(())
    }

    /// Empties the shop: objects, logs, counts and tokens. The scenario stays; its counts and its
    /// random draws start again.
    pub(crate) fn reset(&self) {
        let scenario = {
            let mut arrivals = self.arrivals();
            arrivals.reset();
            arrivals.scenario()
        };
        *self.store() = Store::new(&scenario);
        *self.tokens() = Tokens::default();
    }
}

/// Ignores poisoning: a handler pushes each record in one step, so that a panic leaves no partial
/// record behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
