//! The benchmark: measures the whole product, with real processes and real HTTP.
//!
//! A scenario is one file in [`scenarios`]. It returns [`figure::Figure`]s; a figure that misses
//! its goal makes the exit code 2. Without figures, the exit code is 1. `docs/benchmarks.md`
//! explains the figures and keeps them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the benchmark talks to the person who started it"
)]

mod bounds;
mod clock;
mod drain;
mod figure;
mod kept;
mod load;
mod machine;
mod measured_host;
mod percentiles;
mod report;
mod scenarios;
mod sink;
mod usage;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::time::timeout;

use kept::Kept;
use report::Report;
use scenarios::{Scale, Scenario, Setting};

/// A scenario fails after this time.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Measure the product.
#[derive(Debug, Parser)]
struct Options {
    /// What to measure; all without it.
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// Measure a tenth of the jobs, to try the benchmark.
    #[arg(long)]
    quick: bool,
    /// Write the figures into docs/benchmarks.md.
    #[arg(long, conflicts_with = "quick")]
    keep: bool,
    /// The format of the figures.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer requests, as the destination of a scenario.
    #[command(hide = true)]
    Sink,
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
    let end = match options.command {
        Some(Command::Sink) => sink::serve().await.map(|()| true),
        None => measured(&options).await,
    };
    match end {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("no figures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenarios and prints their figures; true if each reached its goal. A scenario that
/// fails does not keep the others from running.
async fn measured(options: &Options) -> Result<bool> {
    let kept = Kept::read(Path::new("."))?;
    let scenarios = match &options.scenario {
        Some(scenario) => std::slice::from_ref(scenario),
        None => Scenario::value_variants(),
    };
    let machine = machine::describe(tempfile::tempdir()?.path())?;
    if options.output == Output::Text {
        println!("{machine}");
    }
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for scenario in scenarios {
        match run(*scenario, options, &kept).await {
            Ok(report) => {
                if options.output == Output::Text {
                    println!("\n{report}");
                }
                reports.push(report);
            }
            Err(error) => {
                eprintln!("{}: no figures: {error:#}", scenario.name());
                failures.push(scenario.name());
            }
        }
    }
    if options.output == Output::Json {
        let page = serde_json::json!({"machine": machine, "scenarios": reports});
        println!("{page}");
    }
    if options.keep {
        kept.keep(&reports, &machine)?;
    }
    anyhow::ensure!(failures.is_empty(), "failed: {}", failures.join(", "));
    Ok(reports.iter().all(|report| report.passed))
}

async fn run(scenario: Scenario, options: &Options, kept: &Kept) -> Result<Report> {
    let directory = tempfile::Builder::new()
        .prefix("egression-bench-")
        .tempdir()?;
    let setting = Setting {
        directory: directory.path(),
        scale: if options.quick {
            Scale::Quick
        } else {
            Scale::Full
        },
    };
    // Dropping the future ends the child processes.
    let figures = timeout(DEADLINE, scenario.run(&setting))
        .await
        .with_context(|| format!("the deadline of {DEADLINE:?} has passed"))??;
    Ok(Report::new(scenario.name(), figures, kept))
}
