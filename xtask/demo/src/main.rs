//! The demo: delivers a real catalogue to two shops, belt by belt, within their limits and despite
//! their faults. It then judges the result by the shops' logs.
//!
//! The shops and the host are child processes; the Metadata API runs in this process. The demo has
//! a deadline and always ends its child processes. The exit code is 0 for a clean verdict, 2 for
//! any other verdict, and 1 without a verdict.
//!
//! [`catalogue`] and [`classification`] make the objects, [`scenario`] the limits and faults of the
//! shops, and [`configuration`] the configuration of the host. [`run`] runs the demo, [`verdict`]
//! judges it, and [`print`](mod@print) prints the verdict.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the demo talks to the person who started it"
)]

mod catalogue;
mod classification;
mod configuration;
mod print;
mod run;
mod scenario;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// The demo fails after this time, because a demo that hangs is worse than one that fails.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Deliver a catalogue to two channels and judge the result.
#[derive(Debug, Parser)]
struct Options {
    /// The number of objects; references are always included. Default: all.
    #[arg(long)]
    objects: Option<usize>,
    /// The seed for prices and faults. By default the demo draws one and prints it.
    #[arg(long)]
    seed: Option<u64>,
    /// The format of the verdict.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Keep the directory with the host's data, the configuration and the logs.
    #[arg(long)]
    keep: bool,
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
    match judged(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("no verdict: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo and prints the verdict; true if it is clean.
async fn judged(options: &Options) -> Result<bool> {
    let directory = tempfile::Builder::new()
        .prefix("egression-demo-")
        .tempdir()?;
    let settings = run::Settings {
        objects: options.objects,
        seed: options.seed.unwrap_or_else(drawn_seed),
        directory: directory.path(),
    };
    let outcome = bounded(run::run(&settings)).await;
    let clean = outcome.as_ref().is_ok_and(verdict::Verdict::is_clean);
    if options.keep || !clean {
        eprintln!("kept: {}", directory.keep().display());
    }
    let verdict = outcome?;
    match options.output {
        Output::Text => print::text(&verdict),
        Output::Json => {
            print::text(&verdict);
            println!("{}", verdict.line()?);
        }
    }
    Ok(clean)
}

/// Runs the demo until its deadline or a signal. Dropping the future kills the child processes.
async fn bounded<T>(demo: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = timeout(DEADLINE, demo) => match ended {
            Ok(outcome) => outcome,
            Err(_) => bail!("the demo exceeded its deadline of {DEADLINE:?}"),
        },
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the seed itself is random, and printed"
)]
fn drawn_seed() -> u64 {
    // Short enough to type.
    u64::from(rand::random::<u32>())
}
