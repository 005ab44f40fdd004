//! Builds the connectors as components: `target/wasm32-wasip2/guest/connector_<name>.wasm`.

use anyhow::Result;

use crate::setup::GUEST_TARGET;
use crate::workspace::{Workspace, run};

/// Builds all of them in one call, so that what they share is compiled once.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(&["build", "--locked", "--profile", "guest", "--target", GUEST_TARGET]);
    for connector in workspace.connectors() {
        cargo.args(["-p", connector]);
    }
    run(&mut cargo)
}
