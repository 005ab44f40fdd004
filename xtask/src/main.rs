//! Project tasks: `cargo xtask TASK`.
//!
//! A task installs missing tools from the registries into the target directory. If a system package
//! is missing, the task prints the command that installs it. Messages go to standard error.
#![expect(
    clippy::print_stderr,
    reason = "tasks talk to the person who started them"
)]

mod bench;
mod demo;
mod dev;
mod generate;
mod guests;
mod kill_test;
mod schemathesis;
mod setup;
mod steps;
mod stopwatch;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project tasks", max_term_width = 100)]
enum Task {
    /// Install the tools of the other tasks, for work offline. Each task also does this itself.
    Setup,
    /// Build the connectors as components.
    Guests,
    /// Write the generated documents: docs/openapi.json, docs/configuration.md, docs/metrics.md.
    Generate,
    /// Run every check that must pass.
    Test(test::TestOptions),
    /// Deliver a catalogue of 42,254 objects to two channels and judge the result.
    Demo(demo::DemoOptions),
    /// Measure the product in the release profile.
    Bench(bench::BenchOptions),
    /// Kill the host repeatedly while it works, and judge the result.
    KillTest(kill_test::KillTestOptions),
    /// Run a host and a sandbox shop, and rebuild and restart them when sources change.
    Dev,
}

fn main() -> ExitCode {
    // A backtrace does not help with a failed command.
    run(Task::parse()).map_or_else(
        |error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run(task: Task) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => setup::run(&workspace),
        Task::Guests => setup::for_guests(&workspace).and_then(|()| guests::build(&workspace)),
        Task::Generate => generate::write(&workspace),
        Task::Test(options) => test::run(&workspace, &options),
        Task::Demo(options) => demo::run(&workspace, &options),
        Task::Bench(options) => bench::run(&workspace, &options),
        Task::KillTest(options) => kill_test::run(&workspace, &options),
        Task::Dev => dev::run(&workspace),
    }
}
