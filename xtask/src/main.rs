//! Project tasks: `cargo xtask TASK`.
//!
//! What each needs and this machine lacks is installed from the registries into the target
//! directory; a missing system package is named with the command that installs it. Talk goes to
//! standard error.
#![expect(
    clippy::print_stderr,
    reason = "tasks talk to the person who started them"
)]

mod demo;
mod generate;
mod guests;
mod kill_test;
mod setup;
mod steps;
mod stopwatch;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project tasks", max_term_width = 110)]
enum Task {
    /// Installs what the other tasks need. They do it themselves; this is for a machine that goes
    /// offline.
    Setup,
    /// Builds the connectors as components.
    Guests,
    /// Writes the generated documents: docs/openapi.json, docs/configuration.md, docs/metrics.md.
    Generate,
    /// Everything that must pass.
    Test(test::TestOptions),
    /// Ships a catalogue of 42,254 objects into two channels and judges the result.
    Demo(demo::DemoOptions),
    /// Kills the host again and again while it works, and judges the result.
    KillTest(kill_test::KillTestOptions),
}

fn main() -> ExitCode {
    // A backtrace says nothing about a command that failed.
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
        Task::KillTest(options) => kill_test::run(&workspace, &options),
    }
}
