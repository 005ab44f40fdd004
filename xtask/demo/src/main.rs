//! The demo: a real catalogue travels belt by belt into two shops, within their limits, through
//! faults; then the shops are asked.
//!
//! The shops and the host are child processes, started and ended here; the Metadata API is this
//! process. It promises to end by itself and to end its children, whatever happens; the exit code
//! is 0 only for a clean verdict, 2 for one that is not, 1 if there is none.
//!
//! The files in the order of what happens: [`catalogue`] and [`classification`] make the objects,
//! [`scenario`] the shops' limits and faults, [`configuration`] the host's set-up, [`run`] does it,
//! [`verdict`] judges, [`print`](mod@print) shows.
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

/// After this long something hangs, and a demo that does not end by itself is worse than one that
/// failed.
const DEADLINE: Duration = Duration::from_secs(10 * 60);

/// Ships a catalogue into two channels and judges the result.
#[derive(Debug, Parser)]
struct Options {
    /// How many objects; references are always included. None: all.
    #[arg(long)]
    objects: Option<usize>,
    /// The seed of prices and faults. None: one is drawn and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// What the verdict looks like.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Keeps the directory with the host's data, the configuration and the logs.
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
            eprintln!("the demo has no verdict: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo and shows the verdict; true if it is clean.
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

/// Whatever ends it, what is dropped here takes its child processes along.
async fn bounded<T>(demo: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = timeout(DEADLINE, demo) => match ended {
            Ok(outcome) => outcome,
            Err(_) => bail!("it was still running after {DEADLINE:?}, which is its deadline"),
        },
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one draw that no seed decides: the seed, which is printed"
)]
fn drawn_seed() -> u64 {
    // Short enough to be typed again.
    u64::from(rand::random::<u32>())
}
