//! The generated documents. `egression` prints them; this file writes them or compares them.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, run, shown};

/// A document and the command of `egression` that prints it.
const DOCUMENTS: [(&str, &str); 3] = [
    ("docs/openapi.json", "openapi"),
    ("docs/configuration.md", "config-reference"),
    ("docs/metrics.md", "metrics-reference"),
];

/// Builds the binaries for tests and documents, in the dev profile.
///
/// It builds the whole workspace, so that cargo selects the same features as for the tests and
/// builds each dependency once.
pub(crate) fn binaries(workspace: &Workspace) -> Result<()> {
    run(&mut workspace.cargo(&["build", "--locked", "--workspace", "--bins"]))
}

/// Writes the documents.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    binaries(workspace)?;
    for (document, command) in DOCUMENTS {
        let file = workspace.root().join(document);
        let directory = file.parent().context("a document lies in a directory")?;
        std::fs::create_dir_all(directory)?;
        std::fs::write(&file, printed(workspace, command)?)?;
        eprintln!("wrote {document}");
    }
    Ok(())
}

/// Fails if a document differs from the output of the program. The binaries must be built.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    for (document, command) in DOCUMENTS {
        let kept = std::fs::read(workspace.root().join(document)).unwrap_or_default();
        if kept != printed(workspace, command)? {
            bail!("{document} is out of date; update it with: cargo xtask generate");
        }
    }
    Ok(())
}

fn printed(workspace: &Workspace, command: &str) -> Result<Vec<u8>> {
    let binary: PathBuf = workspace.target().join("debug").join("egression");
    let mut command = workspace.command(binary, &[command]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`{}` failed ({})", shown(&command), output.status);
    }
    Ok(output.stdout)
}
