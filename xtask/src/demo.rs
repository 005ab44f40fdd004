//! `cargo xtask demo`: builds and starts the demo.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::{Workspace, run as run_command};
use crate::{guests, setup};

/// Up to this many objects, the demo takes less time than an optimized build.
const DEV_OBJECTS: u64 = 5_000;

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Deliver this many objects instead of all 42,254. Up to 5,000 run in the dev profile, which
    /// the tests use, too.
    #[arg(long, value_name = "N")]
    objects: Option<u64>,
    /// The seed for prices and faults. By default the demo draws one and prints it.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The format of the verdict. JSON is the last line of the output.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    output: String,
    /// Keep the host's data, the configuration and the logs, and print their directory.
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
    // Replaces this process, so that a signal reaches the one that has children to stop.
    Err(demo.exec()).context("cannot start the demo")
}
