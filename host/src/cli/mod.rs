//! The command line: `egression COMMAND`.
//!
//! Data goes to standard output, talk to standard error, and the exit code says how it ended
//! (`exit.rs`). Every command but `serve`, `sandbox` and the generators is a client of a running
//! host and knows no more than its REST contract.

mod apply;
mod client;
mod connector;
mod execution;
mod exit;
mod generate;
mod job;
mod key;
mod output;
mod payload;
mod progress;
mod sandbox;
mod serve;
mod submit;
mod views;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use secrecy::SecretString;
use url::Url;

use crate::settings::server::ServerSettings;
use crate::telemetry::{self, LogFormat};
use client::Client;
use exit::{CommandError, Exit};
use output::{Format, Output, talk};
use serve::DataDir;

/// Ships commerce data to sales channels through sandboxed output connectors.
#[derive(Debug, Parser)]
#[command(name = "egression", version, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The host's API.
    #[arg(
        long,
        global = true,
        env = "EGRESSION_URL",
        default_value = "http://127.0.0.1:8080",
        hide_env_values = true
    )]
    url: Url,
    /// An API key. Without one, the admin key in the data directory of a host on this machine is
    /// taken.
    #[arg(long, global = true, env = "EGRESSION_KEY", hide_env_values = true)]
    key: Option<SecretString>,
    /// The data directory of the host on this machine [default: egression-data].
    #[arg(
        long,
        global = true,
        env = "EGRESSION_DATA_DIR",
        hide_env_values = true
    )]
    data_dir: Option<PathBuf>,
    /// What standard output gets: tables on a terminal and tab-separated lines elsewhere, or JSON.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
    /// What the log on standard error looks like; EGRESSION_LOG filters it.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the host.
    Serve(serve::ServeArgs),
    /// Submits jobs from a file.
    Submit(submit::SubmitArgs),
    /// Puts the documents of a TOML file in force on a running host.
    Apply(apply::ApplyArgs),
    /// Looks at executions and steers them.
    #[command(subcommand)]
    Execution(execution::ExecutionCommand),
    /// Looks at single jobs and steers them.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Installs connectors and chooses their versions.
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// Makes and revokes API keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Runs a shop to try connectors and channels against.
    Sandbox(sandbox::SandboxArgs),
    /// Prints a completion script for a shell.
    Completions(generate::CompletionsArgs),
    /// Prints the description of the API (OpenAPI 3.1).
    Openapi,
    /// Prints the reference of the configuration file (Markdown).
    ConfigReference,
    /// Prints the reference of the metrics (Markdown).
    MetricsReference,
}

/// Reads the arguments of this process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    let (cli, data_dir_source) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to standard output and are no error; clap knows which is which.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            talk(&format!("error: no threads: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime
        .block_on(run(cli, data_dir_source))
        .unwrap_or_else(|error| {
            if !error.is_silent() {
                talk(&format!("error: {error}"));
            }
            error.exit()
        });
    // A reader of standard input that is still waiting must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

/// The arguments, and whether the data directory is that of an option or of the environment.
fn parse(
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Cli, Option<ValueSource>), clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(args)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((cli, matches.value_source("data_dir")))
}

async fn run(cli: Cli, data_dir_source: Option<ValueSource>) -> Result<Exit, CommandError> {
    let Cli { global, command } = cli;
    let is_server = matches!(command, Command::Serve(_) | Command::Sandbox(_));
    let filter = std::env::var(telemetry::FILTER_VARIABLE).ok();
    telemetry::init(
        global.log_format,
        filter.as_deref(),
        if is_server { "info" } else { "warn" },
    )?;
    match command {
        // These two end by a signal in their own good time.
        Command::Serve(args) => serve::run(args, said(global.data_dir, data_dir_source)).await,
        Command::Sandbox(args) => sandbox::run(args, &global.output()).await,
        command => tokio::select! {
            outcome = run_client(command, &global) => outcome,
            _ = tokio::signal::ctrl_c() => Err(CommandError::Interrupted),
        },
    }
}

async fn run_client(command: Command, global: &Global) -> Result<Exit, CommandError> {
    let output = global.output();
    match command {
        Command::Submit(args) => submit::run(args, &global.client()?, &output).await,
        Command::Apply(args) => apply::run(&args, &global.client()?, &output).await,
        Command::Execution(command) => execution::run(command, &global.client()?, &output).await,
        Command::Job(command) => job::run(command, &global.client()?, &output).await,
        Command::Connector(command) => connector::run(command, &global.client()?, &output).await,
        Command::Key(command) => key::run(command, &global.client()?, &output).await,
        Command::Completions(args) => generate::completions(&args),
        Command::Openapi => generate::openapi(),
        Command::ConfigReference => generate::config_reference(),
        Command::MetricsReference => generate::metrics_reference(),
        Command::Serve(_) | Command::Sandbox(_) => Ok(Exit::Done),
    }
}

/// Who said where the data are: a host's configuration file stands between the two.
fn said(data_dir: Option<PathBuf>, source: Option<ValueSource>) -> DataDir {
    match source {
        Some(ValueSource::EnvVariable) => DataDir {
            option: None,
            variable: data_dir,
        },
        _ => DataDir {
            option: data_dir,
            variable: None,
        },
    }
}

impl Global {
    fn output(&self) -> Output {
        Output::new(self.output)
    }

    fn client(&self) -> Result<Client, CommandError> {
        let data_dir = self
            .data_dir
            .clone()
            .unwrap_or_else(|| ServerSettings::default().data_dir);
        Ok(Client::new(self.url.clone(), self.key.clone(), &data_dir)?)
    }
}

#[cfg(test)]
mod tests;
