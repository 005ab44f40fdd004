//! The grouped errors of an execution: how many jobs ended badly with one code, and one of them.

use std::collections::BTreeMap;

use egression_core::domain::ids::{ExecutionSeq, JobSeq};
use egression_core::domain::state::{JobState, State};

use crate::store::StoreError;
use crate::store::engine::statement;
use crate::store::engine::writer::WriteTx;

/// Jobs that one transaction adds to the groups.
#[derive(Debug, Default)]
pub struct ErrorGroups {
    groups: BTreeMap<(ExecutionSeq, String, JobState), (i64, JobSeq)>,
}

impl ErrorGroups {
    /// Adds a job, if its end is one that is grouped.
    pub fn add(&mut self, job: JobSeq, end: &State) {
        let (State::Rejected { .. } | State::Failed { .. } | State::Unknown { .. }, Some(code)) =
            (end, end.code())
        else {
            return;
        };
        self.groups
            .entry((job.execution(), code.to_owned(), end.kind()))
            .or_insert((0, job))
            .0 += 1;
    }

    pub async fn write(self, tx: &mut WriteTx) -> Result<(), StoreError> {
        let groups: Vec<_> = self.groups.into_iter().collect();
        statement::run_values(
            tx,
            "INSERT INTO error_group (execution_seq, code, state, jobs, example_job) ",
            &groups,
            |row, ((execution, code, state), (jobs, example))| {
                row.push_bind(execution.0)
                    .push_bind(code.as_str())
                    .push_bind(state.code())
                    .push_bind(*jobs)
                    .push_bind(example.0);
            },
            " ON CONFLICT (execution_seq, code, state) DO UPDATE SET jobs = error_group.jobs + \
             excluded.jobs",
        )
        .await?;
        Ok(())
    }
}
