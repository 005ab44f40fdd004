//! Texts generated from the program: shell completions, the API description, and the references of
//! configuration and metrics.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::exit::{CommandError, Exit};
use crate::app;
use crate::settings::reference;
use crate::telemetry::metrics_reference;

/// The arguments of `egression completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// Shell to generate the script for.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "egression", &mut script);
    write(&script)
}

pub(super) fn openapi() -> Result<Exit, CommandError> {
    write(app::openapi()?.as_bytes())
}

pub(super) fn config_reference() -> Result<Exit, CommandError> {
    write(reference::markdown().as_bytes())
}

pub(super) fn metrics_reference() -> Result<Exit, CommandError> {
    write(metrics_reference::markdown().as_bytes())
}

fn write(text: &[u8]) -> Result<Exit, CommandError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text)?;
    if !text.ends_with(b"\n") {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()?;
    Ok(Exit::Done)
}
