//! Executions and jobs that the store reports: sealed, paused, changed.

use std::sync::Arc;

use egression_core::domain::ids::{ExecutionSeq, JobSeq};

use super::engine::Engine;
use super::message::Message;
use crate::store::rows::{Changes, OpenExecution};

impl Engine {
    pub(super) fn opened(&mut self, execution: ExecutionSeq, open: Option<Box<OpenExecution>>) {
        if self.opening.remove(&execution) == Some(true) {
            self.opening.insert(execution, false);
            self.reads.sealed(execution);
        } else if let Some(open) = open {
            // Its jobs may be scheduled, or expire.
            self.reads.when_due();
            self.open(*open);
        }
    }

    /// Reads an execution, once more if a read is already running.
    pub(super) fn look_at(&mut self, execution: ExecutionSeq) {
        match self.opening.get_mut(&execution) {
            Some(outdated) => *outdated = true,
            None => {
                self.opening.insert(execution, false);
                self.reads.sealed(execution);
            }
        }
    }

    /// A running read of this execution may be older than what is known now.
    pub(super) fn outdate(&mut self, execution: ExecutionSeq) {
        if let Some(outdated) = self.opening.get_mut(&execution) {
            *outdated = true;
        }
    }

    pub(super) fn open(&mut self, execution: OpenExecution) {
        let belts = execution
            .progress
            .iter()
            .map(|row| (row.connection, row.belt));
        self.scheduler
            .lock()
            .open(execution.seq, execution.paused, belts);
    }

    /// Reports changes in the store to the scheduler.
    pub(super) fn changed(&mut self, changes: Changes) {
        for execution in changes
            .progress
            .iter()
            .map(|row| row.execution)
            .chain(changes.completed.iter().copied())
        {
            self.outdate(execution);
        }
        {
            let mut scheduler = self.scheduler.lock();
            scheduler.gone(&changes.gone);
            scheduler.progress(
                changes
                    .progress
                    .iter()
                    .map(|row| (row.execution, row.connection, row.belt)),
            );
            for execution in &changes.completed {
                scheduler.close(*execution);
            }
        }
        self.reads.released(changes.released);
        self.fail_orphans(changes.orphaned);
    }

    pub(super) fn fail_orphans(&self, orphans: Vec<JobSeq>) {
        if orphans.is_empty() {
            return;
        }
        let (deliverer, messages) = (Arc::clone(&self.parts.deliverer), self.messages.clone());
        tokio::spawn(async move {
            let changes = deliverer.fail_orphans(&orphans).await;
            // The dispatcher is gone only when the host stops.
            let _ = messages.send(Message::Changed(changes)).await;
        });
    }
}
