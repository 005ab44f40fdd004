//! A development session: the sandbox shop and a host with `docs/tour.toml`, rebuilt and restarted
//! when their sources change.
//!
//! `cargo xtask dev` builds the binaries and starts this program with the root of the workspace and
//! its target directory. The session keeps its data and logs in `target/dev`. It ends its child
//! processes by their ids on Ctrl-C and on SIGTERM.
//!
//! [`sources`] finds the changed parts, [`build`] builds them, [`session`] runs the processes.
#![expect(
    clippy::print_stderr,
    reason = "the program talks to the person who started it"
)]

mod build;
mod session;
mod sources;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use session::Session;
use sources::Sources;

/// How often the program looks for changes.
const WATCH_EVERY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    match watch().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the session until a signal or a fatal error ends it.
async fn watch() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let root = arguments.next().context("missing argument: root")?;
    let target = arguments.next().context("missing argument: target")?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut session = Session::new(root.clone(), target)?;
    let ended = tokio::select! {
        ended = follow(&mut session, Sources::new(root)) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    session.stop().await;
    ended
}

/// Starts everything, then applies each change. Only a failed start ends it; after a failed build
/// the old processes keep running.
async fn follow(session: &mut Session, mut sources: Sources) -> Result<()> {
    let versions = sources.scan();
    session.start(&versions).await?;
    eprintln!(
        "watching {}; Ctrl-C ends the session",
        sources::WATCHED_TEXT
    );
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        session.report_ended();
        if let Some(changes) = sources.changes() {
            eprintln!("\nchanged: {changes}");
            if let Err(error) = session.apply(&changes).await {
                eprintln!("{error:#}\nwaiting for the next change");
            }
        }
    }
}
