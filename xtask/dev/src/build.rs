//! Builds the binaries and the connector, in the dev profile.
//!
//! The connector gets a version of its own for each state of its sources, because a host refuses
//! other bytes under an installed version. It is built in its own target directory, so that tests
//! never find a component with such a version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use egression_tests::binary;
use tokio::process::Command;

/// Lines of a failed build that are shown.
const SHOWN_LINES: usize = 60;
/// The variable that replaces the connector's version.
const VERSION_VARIABLE: &str = "EGRESSION_CONNECTOR_VERSION";

/// Builds all binaries of the workspace, so that cargo selects the same features as for the tests.
pub(crate) async fn binaries(root: &Path) -> Result<()> {
    cargo(root, &["--workspace", "--bins"], &[]).await
}

/// Builds the sandbox connector and returns its component.
pub(crate) async fn connector(root: &Path, directory: &Path, sources_ms: u64) -> Result<PathBuf> {
    let target = directory.join("guests");
    let version = format!("{}+dev.{sources_ms}", env!("CARGO_PKG_VERSION"));
    let guest = ["--profile", "guest", "--target", "wasm32-wasip2"];
    let mut arguments = guest.to_vec();
    arguments.extend(["-p", "connector-sandbox"]);
    let target_text = target.to_str().context("a path in Unicode")?;
    cargo(
        root,
        &arguments,
        &[
            (VERSION_VARIABLE, &version),
            ("CARGO_TARGET_DIR", target_text),
        ],
    )
    .await?;
    Ok(binary::connector_in(&target, "sandbox"))
}

async fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--locked", "--quiet"])
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start cargo")?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    let shown = lines[..lines.len().min(SHOWN_LINES)].join("\n");
    let hidden = lines.len().saturating_sub(SHOWN_LINES);
    bail!("{shown}\nbuild failed ({hidden} more lines)")
}
