//! Finds the `egression` executable and the components of the connectors.
//!
//! Cargo does not build the binary of another package for a test, so `cargo xtask test` builds both
//! before the tests. To run a single test, build them once: `cargo build --workspace --bins &&
//! cargo xtask guests`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Names the executable, if it is not in the target directory of the running one.
pub const BINARY_VARIABLE: &str = "EGRESSION_BIN";

/// The `egression` executable. [`BINARY_VARIABLE`] can name it; otherwise it is in the target
/// directory of the running executable.
///
/// # Errors
/// It is not built; the message tells how to build it.
pub fn egression() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        return existing(PathBuf::from(named), "EGRESSION_BIN names it");
    }
    existing(
        profile_dir()?.join("egression"),
        "build it: cargo build -p egression-host --bin egression",
    )
}

/// A connector's component; `sandbox` means `connector-sandbox`.
///
/// # Errors
/// It is not built; the message tells how to build it.
pub fn connector(name: &str) -> Result<PathBuf> {
    let target = profile_dir()?
        .parent()
        .context("the target directory has no parent")?
        .to_owned();
    existing(connector_in(&target, name), "build it: cargo xtask guests")
}

/// The path of a connector's component in a target directory, built or not.
#[must_use]
pub fn connector_in(target: &Path, name: &str) -> PathBuf {
    let file = format!("connector_{}.wasm", name.replace('-', "_"));
    target.join("wasm32-wasip2").join("guest").join(file)
}

/// `target/debug` or `target/release`. A test runs in its folder `deps`.
fn profile_dir() -> Result<PathBuf> {
    let running = std::env::current_exe().context("unknown path of the running executable")?;
    let beside = running
        .parent()
        .context("the executable has no directory")?;
    let inside = beside.file_name().is_some_and(|name| name == "deps");
    let profile = if inside {
        beside.parent().context("`deps` has no parent")?
    } else {
        beside
    };
    Ok(profile.to_owned())
}

fn existing(path: PathBuf, how: &str) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("{} does not exist; {how}", path.display());
    }
    Ok(path)
}
