//! Builds the connectors as components: `target/wasm32-wasip2/guest/connector_<name>.wasm`.

use anyhow::Result;

use crate::setup::GUEST_TARGET;
use crate::workspace::{Workspace, run};

/// Builds all of them in as few cargo calls as possible, so that shared code is compiled once.
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
    // The SDK's examples are connectors, too. They show the optional interfaces, and the runtime's
    // tests call them.
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
