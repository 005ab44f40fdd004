//! `cargo xtask test`: every check that must pass, on a clean checkout and in CI.
//!
//! Clippy, the tests and the documents share one target directory and one profile, so that
//! dependencies are built once.

use anyhow::{Context, Result};
use clap::Args;

use crate::steps::{self, Step};
use crate::workspace::{Workspace, run as run_command};
use crate::{generate, guests, schemathesis, setup};

#[derive(Debug, Args)]
pub(crate) struct TestOptions {
    /// Run only this step.
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    only: Option<String>,
}

const STEPS: &[Step] = &[
    Step {
        name: "setup",
        work: setup::run,
        required: true,
    },
    Step {
        name: "fmt",
        work: fmt,
        required: false,
    },
    Step {
        name: "deny",
        work: deny,
        required: false,
    },
    Step {
        name: "clippy",
        work: clippy,
        required: false,
    },
    Step {
        name: "guests",
        work: guests::build,
        required: true,
    },
    Step {
        name: "binaries",
        work: generate::binaries,
        required: true,
    },
    Step {
        name: "nextest",
        work: nextest,
        required: false,
    },
    Step {
        name: "schemathesis",
        work: schemathesis::run,
        required: false,
    },
    Step {
        name: "doctests",
        work: doctests,
        required: false,
    },
    Step {
        name: "docs",
        work: docs,
        required: false,
    },
    Step {
        name: "drift",
        work: generate::check,
        required: false,
    },
];

fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// Runs all steps, or the requested one.
pub(crate) fn run(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    let chosen: Vec<_> = STEPS
        .iter()
        .filter(|step| options.only.as_deref().is_none_or(|only| only == step.name))
        .collect();
    steps::run(workspace, &chosen)
}

fn fmt(workspace: &Workspace) -> Result<()> {
    run_command(&mut workspace.cargo(&["fmt", "--all", "--check"]))
        .context("format it with: cargo fmt --all")
}

fn deny(workspace: &Workspace) -> Result<()> {
    // The log level hides deny.toml's warnings about duplicate versions, which would bury failures.
    run_command(setup::deny(workspace).args([
        "--locked",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    run_command(&mut workspace.cargo(&[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn nextest(workspace: &Workspace) -> Result<()> {
    run_command(setup::nextest(workspace).args([
        "run",
        "--locked",
        "--workspace",
        "--no-fail-fast",
    ]))
}

fn doctests(workspace: &Workspace) -> Result<()> {
    run_command(&mut workspace.cargo(&["test", "--locked", "--workspace", "--doc", "--quiet"]))
}

fn docs(workspace: &Workspace) -> Result<()> {
    let mut doc = workspace.cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run_command(&mut doc)
}
