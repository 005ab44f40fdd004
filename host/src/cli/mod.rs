//! The command line: `egression COMMAND`.
//!
//! Data goes to standard output and messages to standard error; `exit.rs` defines the exit codes.
//! Except for `serve`, `sandbox` and the generators, every command is a client of a running host
//! and knows only its REST contract.

mod apply;
mod client;
mod connector;
mod execution;
mod exit;
mod generate;
mod job;
mod key;
mod limit;
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

use crate::runtime::{COMPILE_COMMAND, compile_process};
use crate::settings::server::ServerSettings;
use crate::telemetry::{self, LogFormat};
use client::Client;
use exit::{CommandError, Exit};
use output::{Format, Output, print_message};
use serve::DataDir;

/// Ship commerce data to sales channels through sandboxed output connectors.
#[derive(Debug, Parser)]
#[command(name = "egression", version, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// URL of the host's API.
    #[arg(
        long,
        global = true,
        env = "EGRESSION_URL",
        default_value = "http://127.0.0.1:8080",
        hide_env_values = true
    )]
    url: Url,
    /// API key. Defaults to the admin key in the data directory if the host runs on this machine.
    #[arg(long, global = true, env = "EGRESSION_KEY", hide_env_values = true)]
    key: Option<SecretString>,
    /// Data directory of the host on this machine [default: egression-data].
    #[arg(
        long,
        global = true,
        env = "EGRESSION_DATA_DIR",
        hide_env_values = true
    )]
    data_dir: Option<PathBuf>,
    /// Format of standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Format,
    /// Format of the log on standard error; EGRESSION_LOG filters it.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host.
    Serve(serve::ServeArgs),
    /// Submit jobs from a file.
    Submit(submit::SubmitArgs),
    /// Apply configuration from a TOML file.
    Apply(apply::ApplyArgs),
    /// List, inspect, pause, resume and cancel executions.
    #[command(subcommand)]
    Execution(execution::ExecutionCommand),
    /// Inspect and cancel single jobs.
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Install connectors and activate their versions.
    #[command(subcommand)]
    Connector(connector::ConnectorCommand),
    /// List limits, and reopen those that a destination closed.
    #[command(subcommand)]
    Limit(limit::LimitCommand),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Run a sandbox shop to test connectors and channels.
    Sandbox(sandbox::SandboxArgs),
    /// Print a completion script for a shell.
    Completions(generate::CompletionsArgs),
    /// Print the API description (OpenAPI 3.1).
    Openapi,
    /// Print the reference of the configuration file (Markdown).
    ConfigReference,
    /// Print the reference of the metrics (Markdown).
    MetricsReference,
    /// Compile the component on standard input. The host starts it; not for people.
    #[command(hide = true, name = COMPILE_COMMAND)]
    CompileComponent {
        /// The bounds, as JSON.
        bounds: String,
    },
}

/// Runs the command that the arguments of this process name.
pub fn main() -> ExitCode {
    let (cli, data_dir_source) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version go to standard output and are not errors; clap distinguishes them.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    // Without further threads, which would count against its memory.
    if let Command::CompileComponent { bounds } = &cli.command {
        return compile_process(bounds);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print_message(&format!("error: cannot start threads: {error}"));
            return Exit::Failed.into();
        }
    };
    let exit = runtime
        .block_on(run(cli, data_dir_source))
        .unwrap_or_else(|error| {
            if !error.is_silent() {
                print_message(&format!("error: {error}"));
            }
            error.exit()
        });
    // A pending read of standard input must not keep the process alive.
    runtime.shutdown_background();
    exit.into()
}

/// The arguments, and the source of the data directory: option or environment variable.
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
        // These two handle signals themselves.
        Command::Serve(args) => {
            serve::run(args, data_dir_by_source(global.data_dir, data_dir_source)).await
        }
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
        Command::Limit(command) => limit::run(command, &global.client()?, &output).await,
        Command::Key(command) => key::run(command, global, &output).await,
        Command::Completions(args) => generate::completions(&args),
        Command::Openapi => generate::openapi(),
        Command::ConfigReference => generate::config_reference(),
        Command::MetricsReference => generate::metrics_reference(),
        Command::Serve(_) | Command::Sandbox(_) | Command::CompileComponent { .. } => {
            Ok(Exit::Done)
        }
    }
}

/// Separates the option from the environment variable: the configuration file overrides only the
/// latter.
fn data_dir_by_source(data_dir: Option<PathBuf>, source: Option<ValueSource>) -> DataDir {
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

    fn data_dir(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| ServerSettings::default().data_dir)
    }

    fn client(&self) -> Result<Client, CommandError> {
        Ok(Client::new(
            self.url.clone(),
            self.key.clone(),
            &self.data_dir(),
        )?)
    }
}

#[cfg(test)]
mod tests;
