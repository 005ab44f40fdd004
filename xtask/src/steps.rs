//! Named steps that are timed, with a final table.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;

pub(crate) struct Step {
    /// The value of `--only`.
    pub(crate) name: &'static str,
    pub(crate) work: fn(&Workspace) -> Result<()>,
    /// Later steps depend on this step.
    pub(crate) required: bool,
}

/// Runs the steps in order.
///
/// A failed step does not end the run, so that the table shows all failures at once. Only a failed
/// step that later steps depend on ends it.
pub(crate) fn run(workspace: &Workspace, steps: &[&Step]) -> Result<()> {
    let whole = Stopwatch::start();
    let mut table = Vec::new();
    let mut failed = Vec::new();
    for step in steps {
        eprintln!("\n── {} ──", step.name);
        let watch = Stopwatch::start();
        let outcome = (step.work)(workspace);
        let passed = outcome.is_ok();
        if let Err(error) = outcome {
            eprintln!("{} failed: {error:#}", step.name);
            failed.push(step.name);
        }
        table.push((
            step.name,
            watch.elapsed(),
            if passed { "passed" } else { "FAILED" },
        ));
        if !passed && step.required {
            eprintln!("skipping the remaining steps, which depend on this step");
            break;
        }
    }
    eprintln!();
    for (name, took, outcome) in &table {
        eprintln!("{name:<12} {:>8}  {outcome}", minutes(*took));
    }
    eprintln!("{:<12} {:>8}", "all", minutes(whole.elapsed()));
    if failed.is_empty() {
        Ok(())
    } else {
        bail!("failed: {}", failed.join(", "))
    }
}

fn minutes(took: Duration) -> String {
    let tenths = took.as_millis() / 100;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}
