//! Where the built things are: the `egression` executable and the connectors.
//!
//! Cargo builds another package's binary for no test, so `cargo xtask test` builds both before it
//! starts the tests. A single test by hand needs the same once: `cargo build -p egression-host
//! --bin egression && cargo xtask guests`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Names the executable, where it is not beside the running one.
pub const BINARY_VARIABLE: &str = "EGRESSION_BIN";

/// The `egression` executable: the one that [`BINARY_VARIABLE`] names, else the one in the target
/// directory of the running executable.
///
/// # Errors
/// It has not been built; the message says how.
pub fn egression() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        return existing(PathBuf::from(named), "it is what EGRESSION_BIN names");
    }
    existing(
        profile_dir()?.join("egression"),
        "build it: cargo build -p egression-host --bin egression",
    )
}

/// A connector's component, `sandbox` for `connector-sandbox`.
///
/// # Errors
/// It has not been built; the message says how.
pub fn connector(name: &str) -> Result<PathBuf> {
    let target = profile_dir()?
        .parent()
        .context("a target directory has a parent")?
        .to_owned();
    existing(connector_in(&target, name), "build it: cargo xtask guests")
}

/// Where a connector's component lies in a target directory, built or not.
#[must_use]
pub fn connector_in(target: &Path, name: &str) -> PathBuf {
    let file = format!("connector_{}.wasm", name.replace('-', "_"));
    target.join("wasm32-wasip2").join("guest").join(file)
}

/// `target/debug` or `target/release`. A test runs from `deps` inside of it.
fn profile_dir() -> Result<PathBuf> {
    let running = std::env::current_exe().context("the running executable has no path")?;
    let beside = running
        .parent()
        .context("an executable lies in a directory")?;
    let inside = beside.file_name().is_some_and(|name| name == "deps");
    let profile = if inside {
        beside.parent().context("`deps` lies in a directory")?
    } else {
        beside
    };
    Ok(profile.to_owned())
}

fn existing(path: PathBuf, how: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} is not there; {how}", path.display());
    }
    Ok(path)
}
