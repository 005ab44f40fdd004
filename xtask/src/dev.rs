//! `cargo xtask dev`: builds the binaries and starts a development session.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{generate, setup};

/// Builds and starts it. Returns only if that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::for_guests(workspace)?;
    generate::binaries(workspace)?;
    let program = workspace.target().join("debug").join("egression-dev");
    let mut dev = workspace.command(program, &[]);
    dev.arg(workspace.root()).arg(workspace.target());
    // Replaces this process, so that a signal reaches the one that has children to stop.
    Err(dev.exec()).context("cannot start the development session")
}
