//! Named steps, timed, with a closing table.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;

/// One thing that must pass.
pub(crate) struct Step {
    /// As `--only` takes it.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) work: fn(&Workspace) -> Result<()>,
    /// Later steps mean nothing without it.
    pub(crate) carries: bool,
}

/// Runs the steps in order.
///
/// A failing step does not end the run: the machine has done most of the building by then, and
/// whoever reads the table wants to see all that is wrong at once. Only a step that carries the
/// later ones ends it.
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
        if !passed && step.carries {
            eprintln!("the rest needs this step and is left out");
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
