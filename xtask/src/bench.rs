//! `cargo xtask bench`: builds the optimized binaries and starts the benchmark.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::{Workspace, run as run_command};
use crate::{guests, setup};

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// What to measure: `accept`, `parallel`, `parallel_batch`, `ordered`, `hot`, `http`,
    /// `http_batch`, `latency`, `backlog`, `executions`, `connections`, `waiters`, `limits`,
    /// `neighbors`; all without it.
    #[arg(long, value_name = "SCENARIO")]
    scenario: Option<String>,
    /// Measure a tenth of the jobs, to try the benchmark.
    #[arg(long)]
    quick: bool,
    /// Write the figures into docs/benchmarks.md.
    #[arg(long, conflicts_with = "quick")]
    keep: bool,
    /// The format of the figures.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

/// Builds and starts it. Returns only if that fails.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    setup::for_guests(workspace)?;
    guests::build(workspace)?;
    // The packages of the demo, too: another selection would build dependencies again.
    run_command(&mut workspace.cargo(&[
        "build",
        "--locked",
        "--release",
        "--bins",
        "-p",
        "egression-host",
        "-p",
        "egression-demo",
        "-p",
        "egression-bench",
    ]))?;
    let program = workspace.target().join("release").join("egression-bench");
    let mut arguments = vec!["--output", &options.output];
    if let Some(scenario) = &options.scenario {
        arguments.extend(["--scenario", scenario]);
    }
    arguments.extend(options.quick.then_some("--quick"));
    arguments.extend(options.keep.then_some("--keep"));
    // Replaces this process, so that a signal reaches the one that has children to stop.
    Err(workspace.command(program, &arguments).exec()).context("cannot start the benchmark")
}
