//! What all handlers of one shop share.
//!
//! Three locks, each held shortly and never across a wait, and never one inside another: the door
//! (arrivals), the store (objects and writes), the tokens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    auth::Tokens,
    clock::Clock,
    door::Door,
    scenario::{Scenario, ScenarioChange, ScenarioError},
    store::Store,
};

#[derive(Debug)]
pub(crate) struct Floor {
    pub(crate) clock: Clock,
    door: Mutex<Door>,
    store: Mutex<Store>,
    tokens: Mutex<Tokens>,
}

impl Floor {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let scenario = Arc::new(scenario);
        Self {
            clock: Clock::start(),
            store: Mutex::new(Store::new(&scenario)),
            tokens: Mutex::new(Tokens::default()),
            door: Mutex::new(Door::new(scenario)),
        }
    }

    pub(crate) fn door(&self) -> MutexGuard<'_, Door> {
        lock(&self.door)
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub(crate) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    /// Goes on under a changed scenario.
    pub(crate) fn change(&self, change: ScenarioChange) -> Result<(), ScenarioError> {
        let scenario = {
            let mut door = self.door();
            let scenario = Arc::new(door.scenario().changed(change)?);
            door.change(Arc::clone(&scenario));
            scenario
        };
        self.store().change(&scenario);
        Ok(())
    }

    /// Empties the shop: objects, logs, counts, tokens. The scenario stays, its counts and draws
    /// start again.
    pub(crate) fn reset(&self) {
        let scenario = {
            let mut door = self.door();
            door.reset();
            door.scenario()
        };
        *self.store() = Store::new(&scenario);
        *self.tokens() = Tokens::default();
    }
}

/// A handler that panicked has left whole records behind (each is pushed at once), so its lock is
/// taken over as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
