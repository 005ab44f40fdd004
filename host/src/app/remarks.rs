//! What is noticed about documents that are valid: one line in the log each, when it comes up and
//! not again while it stays.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use egression_core::scheduler::limits::Guard;

use crate::documents::catalogue::Catalogue;
use crate::documents::validate;

#[derive(Debug)]
pub(super) struct Remarks {
    guard: Guard,
    said: Mutex<BTreeSet<String>>,
}

impl Remarks {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            said: Mutex::default(),
        }
    }

    /// Says what is new about the documents in force.
    pub(super) fn look(&self, catalogue: &Catalogue) {
        let found: BTreeSet<String> = validate::unguarded(catalogue, self.guard)
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for remark in found.difference(&said) {
            tracing::warn!(remark, "a limit may be exceeded");
        }
        *said = found;
    }
}
