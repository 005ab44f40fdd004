//! When a job becomes due: scheduled jobs, retries and expired jobs.
//!
//! The store keeps each wait with its end. The dispatcher knows the earliest one, and asks the
//! store to end the waits whose time has come.

use egression_core::time::Wall;

use super::engine::Engine;

impl Engine {
    pub(super) fn note_due(&mut self, at: Option<Wall>) {
        self.due = self.due.into_iter().chain(at).min();
    }

    pub(super) fn become_due(&mut self) {
        let now = self.parts.clock.wall();
        if !self.due_in_flight && self.due.is_some_and(|at| at <= now) {
            self.due_in_flight = true;
            self.due = None;
            self.reads.due(now);
        }
    }
}
