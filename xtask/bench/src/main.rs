//! The benchmark: measures the whole product, with real processes and real HTTP.
//!
//! A scenario is one file in [`scenarios`]. It returns [`report::Figure`]s; a figure that misses
//! its goal makes the exit code 2. Without figures, the exit code is 1.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the benchmark talks to the person who started it"
)]

mod report;
mod scenarios;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tokio::time::timeout;

use report::Report;
use scenarios::Scenario;

/// A scenario fails after this time.
const DEADLINE: Duration = Duration::from_secs(20 * 60);

/// Measure the product.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure.
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// The format of the figures.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match measured(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("no figures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenario and prints its figures; true if each reached its goal.
async fn measured(options: &Options) -> Result<bool> {
    let directory = tempfile::Builder::new()
        .prefix("egression-bench-")
        .tempdir()?;
    // Dropping the future ends the child processes.
    let figures = timeout(DEADLINE, options.scenario.run(directory.path()))
        .await
        .with_context(|| format!("the scenario exceeded its deadline of {DEADLINE:?}"))??;
    let report = Report::new(options.scenario.name(), figures);
    match options.output {
        Output::Text => println!("{report}"),
        Output::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(report.passed)
}
