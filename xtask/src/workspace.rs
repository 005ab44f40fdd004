//! The workspace: its root, its target directory, and how to call cargo and the tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    packages: Vec<String>,
    cargo: OsString,
}

impl Workspace {
    /// Reads the metadata from cargo.
    pub(crate) fn find() -> Result<Self> {
        // The cargo that runs this program, so that all steps use the same toolchain.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(&cargo)
            .args([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--offline",
            ])
            .output()?;
        if !output.status.success() {
            bail!(
                "cargo metadata: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let path = |name: &str| {
            metadata[name]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("cargo metadata has no {name}"))
        };
        let packages = metadata["packages"]
            .as_array()
            .context("cargo metadata has no packages")?;
        let packages = packages
            .iter()
            .filter_map(|package| package["name"].as_str().map(str::to_owned))
            .collect();
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            packages,
            cargo,
        })
    }

    /// The directory of the root `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The packages of the workspace whose names begin with `connector-`.
    pub(crate) fn connectors(&self) -> impl Iterator<Item = &str> {
        self.packages
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with("connector-"))
    }

    /// The path of a tool in `target/tools`, installed or not.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.target.join("tools").join(name).join("bin").join(name)
    }

    /// `cargo` in the root directory.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        self.command(&self.cargo, arguments)
    }

    /// Another program in the root directory.
    pub(crate) fn command(
        &self,
        program: impl AsRef<std::ffi::OsStr>,
        arguments: &[&str],
    ) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO", &self.cargo);
        command
    }
}

/// Runs a command to its end; its output goes to the user.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Whether a command succeeds. Its output is discarded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A command as a user types it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    command.get_args().fold(program, |line, argument| {
        format!("{line} {}", argument.to_string_lossy())
    })
}
