//! `cargo xtask kill-test`: the whole kill test. `cargo xtask test` runs a shorter form of it.

use anyhow::Result;
use clap::Args;

use crate::workspace::{Workspace, run as run_command};
use crate::{generate, guests, setup};

#[derive(Debug, Args)]
pub(crate) struct KillTestOptions {
    /// How many times the host is killed.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// The seed for the times of the kills. By default the test draws one and prints it.
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds the guests and the binaries, and runs the test.
pub(crate) fn run(workspace: &Workspace, options: &KillTestOptions) -> Result<()> {
    setup::for_guests(workspace)?;
    guests::build(workspace)?;
    generate::binaries(workspace)?;
    let test = [
        "test",
        "--locked",
        "--workspace",
        "--test",
        "kill",
        "--",
        "--ignored",
        "--exact",
        "whole",
        "--nocapture",
    ];
    let mut cargo = workspace.cargo(&test);
    cargo.env("EGRESSION_KILLS", options.kills.to_string());
    if let Some(seed) = options.seed {
        cargo.env("EGRESSION_SEED", seed.to_string());
    }
    run_command(&mut cargo)
}
