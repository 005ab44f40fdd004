//! `cargo xtask demo`: builds what the demo needs and hands over to it.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::{Workspace, run as run_command};
use crate::{guests, setup};

/// Up to here a demo takes less time than an optimised build would.
const DEV_OBJECTS: u64 = 5_000;

/// What the demo takes.
#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Ships this many objects in place of all 42,254. Up to 5,000 run in the dev profile, which
    /// the tests have built.
    #[arg(long, value_name = "N")]
    objects: Option<u64>,
    /// The seed of prices and faults. Without one the demo draws and prints one.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// What the verdict looks like. JSON is one line, the last.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    output: String,
    /// Keeps the host's data, the configuration and the logs, and says where.
    #[arg(long)]
    keep: bool,
}

/// Builds and starts it. Returns only if that fails.
pub(crate) fn run(workspace: &Workspace, options: &DemoOptions) -> Result<()> {
    setup::for_guests(workspace)?;
    guests::build(workspace)?;
    let dev = options
        .objects
        .is_some_and(|objects| objects <= DEV_OBJECTS);
    let build: &[&str] = if dev {
        &["build", "--locked", "--workspace", "--bins"]
    } else {
        &[
            "build",
            "--locked",
            "--release",
            "--bins",
            "-p",
            "egression-host",
            "-p",
            "egression-demo",
        ]
    };
    run_command(&mut workspace.cargo(build))?;
    let binary = workspace
        .target()
        .join(if dev { "debug" } else { "release" })
        .join("egression-demo");
    let mut demo = workspace.command(binary, &["--output", &options.output]);
    for (name, value) in [("--objects", options.objects), ("--seed", options.seed)] {
        if let Some(value) = value {
            demo.args([name, &value.to_string()]);
        }
    }
    if options.keep {
        demo.arg("--keep");
    }
    // In place of this process, so that a signal reaches the one that has children to end.
    Err(demo.exec()).context("the demo cannot be started")
}
