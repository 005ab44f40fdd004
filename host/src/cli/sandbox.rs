//! `egression sandbox`: runs the sandbox shop until a signal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use egression_sandbox::{Scenario, Shop};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{CommandError, Exit};
use super::output::{Output, print_message};

/// The arguments of `egression sandbox`.
#[derive(Debug, clap::Args)]
pub(super) struct SandboxArgs {
    /// Credentials, limits and faults of the shop (TOML, or JSON if the name ends in `.json`).
    /// Without a scenario, the shop causes no faults.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Address of the shop; port 0 selects a free port. The URL is printed on standard output.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
}

pub(super) async fn run(args: SandboxArgs, output: &Output) -> Result<Exit, CommandError> {
    let scenario = args
        .scenario
        .as_deref()
        .map_or_else(|| Ok(Scenario::default()), scenario)?;
    // Installed before the URL is printed, because its reader may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shop = Shop::start(scenario, args.listen).await?;
    let url = format!("http://{}", shop.addr());
    if output.is_json() {
        output.document(&json!({ "url": url }))?;
    } else {
        output.text(&url)?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    print_message("stopping the shop");
    shop.stop().await;
    Ok(Exit::Done)
}

fn scenario(path: &Path) -> Result<Scenario, CommandError> {
    let text = std::fs::read_to_string(path).map_err(CommandError::reading(path))?;
    let is_json = path
        .extension()
        .is_some_and(|extension| extension == "json");
    let scenario = if is_json {
        Scenario::from_json(&text)
    } else {
        Scenario::from_toml(&text)
    };
    scenario.map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
}
