//! The host's log and metrics.
//!
//! The log goes to standard error, as text or as JSON, filtered by `EGRESSION_LOG`. The names of
//! its fields are in `docs/logging.md`. [`metrics`] counts and measures, [`metrics_reference`]
//! defines each metric, [`exposition`] renders `/metrics`, [`spans`] opens the log's spans.
//! [`layer_cpu`], [`thread_cpu`] and [`statement_counter`] measure what the host's work costs.

mod cpu_seconds;
pub mod exposition;
pub mod layer_cpu;
pub mod metrics;
pub mod metrics_reference;
pub mod spans;
pub mod statement_counter;
pub mod thread_cpu;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The environment variable of the filter: `info`, `egression_host::gate=debug,warn`.
pub const FILTER_VARIABLE: &str = "EGRESSION_LOG";

/// The format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("{FILTER_VARIABLE}: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("the log is already set up")]
    Twice,
}

/// Sets up the log of this process. `filter` is the value of the environment variable; `default`
/// applies if it is unset or empty.
pub fn init(format: LogFormat, filter: Option<&str>, default: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(
        filter
            .filter(|filter| !filter.is_empty())
            .unwrap_or(default),
    )?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let outcome = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    outcome.map_err(|_| TelemetryError::Twice)
}
