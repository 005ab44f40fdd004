//! `cargo xtask kill-test`: the whole kill test, which `cargo xtask test` runs in a shorter form.

use anyhow::Result;
use clap::Args;

use crate::workspace::{Workspace, run as run_command};
use crate::{generate, guests, setup};

/// What the kill test takes.
#[derive(Debug, Args)]
pub(crate) struct KillTestOptions {
    /// How often the host is killed.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// The seed of the moments. Without one the test draws and prints one.
    #[arg(long)]
    seed: Option<u64>,
}

/// Builds what it needs and runs it.
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
