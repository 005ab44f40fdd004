//! The changes of several transactions, merged into one.

use std::collections::{BTreeSet, HashMap};

use egression_core::domain::ids::{ExecutionSeq, JobSeq};

use crate::store::rows::Changes;

impl Changes {
    /// Adds the changes of a later transaction, whose counters replace the earlier ones.
    pub fn absorb(&mut self, later: Self) {
        for row in later.progress {
            let same = self.progress.iter_mut().find(|old| {
                (old.execution, old.connection, old.belt.belt)
                    == (row.execution, row.connection, row.belt.belt)
            });
            match same {
                Some(old) => *old = row,
                None => self.progress.push(row),
            }
        }
        let gone: std::collections::HashSet<_> = later.gone.iter().collect();
        self.orphaned.retain(|job| !gone.contains(job));
        self.stale.extend(later.stale);
        self.released.extend(later.released);
        self.orphaned.extend(later.orphaned);
        self.blocked.extend(later.blocked);
        self.completed.extend(later.completed);
        self.gone.extend(later.gone);
    }

    /// Divides the changes of a transaction among the callers that made it together: what concerns
    /// a caller's jobs or their executions goes to that caller, the rest to the first one.
    pub(in crate::store) fn divide(self, callers: &[Vec<JobSeq>]) -> Vec<Self> {
        let mut owners: HashMap<JobSeq, Vec<usize>> = HashMap::new();
        let mut executions: HashMap<ExecutionSeq, BTreeSet<usize>> = HashMap::new();
        for (caller, jobs) in callers.iter().enumerate() {
            for job in jobs {
                owners.entry(*job).or_default().push(caller);
                executions
                    .entry(job.execution())
                    .or_default()
                    .insert(caller);
            }
        }
        let first = BTreeSet::from([0]);
        let concerned = |execution| executions.get(&execution).unwrap_or(&first);
        let mut parts = vec![Self::default(); callers.len()];
        for row in self.progress {
            for caller in concerned(row.execution) {
                parts[*caller].progress.push(row);
            }
        }
        for execution in self.completed {
            for caller in concerned(execution) {
                parts[*caller].completed.push(execution);
            }
        }
        // The first settlement of a job applies.
        let mut owner = |job: &JobSeq| owners.get_mut(job).and_then(Vec::pop).unwrap_or(0);
        for job in self.stale {
            parts[owner(&job)].stale.push(job);
        }
        for job in self.gone {
            parts[owner(&job)].gone.push(job);
        }
        if let Some(first) = parts.first_mut() {
            first.released = self.released;
            first.orphaned = self.orphaned;
            first.blocked = self.blocked;
        }
        parts
    }
}
