//! Warnings about documents that are valid but risky. Each is logged once, when it first appears.

use std::collections::BTreeSet;

use egression_core::scheduler::limits::Guard;
use parking_lot::Mutex;

use crate::documents::catalogue::Catalogue;
use crate::documents::validate;

#[derive(Debug)]
pub(super) struct ConfigWarnings {
    guard: Guard,
    logged: Mutex<BTreeSet<String>>,
}

impl ConfigWarnings {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            logged: Mutex::default(),
        }
    }

    /// Logs the warnings that are new since the last call.
    pub(super) fn log_new(&self, catalogue: &Catalogue) {
        let current: BTreeSet<String> = validate::unguarded(catalogue, self.guard)
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut logged = self.logged.lock();
        for warning in current.difference(&logged) {
            tracing::warn!(warning, "a limit may be exceeded");
        }
        *logged = current;
    }
}
