//! What the host tells about itself: its log, here, and its metrics, in the parts.
//!
//! The log goes to standard error, filtered by `EGRESSION_LOG`, as lines for people or as JSON.

pub mod exposition;
pub mod metrics;
pub mod metrics_reference;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The environment variable with the filter: `info`, `egression_host::gate=debug,warn`.
pub const FILTER_VARIABLE: &str = "EGRESSION_LOG";

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("{FILTER_VARIABLE}: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A log was set up before.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of this process. `filter`: the variable's value; `default`: what counts without
/// one.
///
/// # Errors
/// The filter cannot be read, or a log was set up before.
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
