//! Builds the connectors as components: `target/wasm32-wasip2/guest/connector_<name>.wasm`.

use anyhow::Result;

use crate::setup::GUEST_TARGET;
use crate::workspace::{Workspace, run};

/// Builds all of them, in as few calls as cargo allows, so that what they share is compiled once.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(&[
        "build",
        "--locked",
        "--profile",
        "guest",
        "--target",
        GUEST_TARGET,
    ]);
    for connector in workspace.connectors() {
        cargo.args(["-p", connector]);
    }
    run(&mut cargo)?;
    // The SDK's examples are connectors too: they show, and the runtime's tests call, the optional
    // interfaces.
    run(&mut workspace.cargo(&[
        "build",
        "--locked",
        "--profile",
        "guest",
        "--target",
        GUEST_TARGET,
        "-p",
        "egression-sdk",
        "--examples",
    ]))
}
