//! `egression connector …`: installs connectors and activates their versions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Column, Output, print_message};

/// The timeout of an upload. The host compiles the component before it responds.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(10 * 60);
const MAX_LISTED: usize = 10_000;

const COLUMNS: &[Column] = &[
    ("NAME", "/name"),
    ("VERSION", "/version"),
    ("ACTIVE", "/active"),
    ("DIGEST", "/digest"),
    ("INSTALLED", "/installed_at"),
];

#[derive(Debug, Subcommand)]
pub(super) enum ConnectorCommand {
    /// Install a component. The host checks it first.
    Install {
        /// WebAssembly component (`.wasm`).
        file: PathBuf,
        /// Do not activate the installed version.
        #[arg(long)]
        no_activate: bool,
    },
    /// List the installed versions.
    List,
    /// Activate an installed version. New calls use it; running calls finish on the old version.
    Activate {
        /// Name of the connector.
        name: String,
        /// Version to activate.
        version: String,
    },
}

pub(super) async fn run(
    command: ConnectorCommand,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    match command {
        ConnectorCommand::Install { file, no_activate } => {
            let body = component(&file).await?;
            let query: &[(&str, &str)] = if no_activate {
                &[("activate", "false")]
            } else {
                &[]
            };
            let request = client
                .request(Method::POST, &["v1", "connectors"], query)
                .header("content-type", "application/wasm");
            let request = request.timeout(INSTALL_TIMEOUT).body(body);
            let installed = request.send().await?.body;
            print_differences(&installed);
            output.item(COLUMNS, &installed)?;
        }
        ConnectorCommand::List => {
            let connectors = client.list(&["v1", "connectors"], &[], MAX_LISTED).await?;
            if output.is_json() {
                output.document(&Value::Array(connectors))?;
            } else {
                output.table(COLUMNS, &versions(connectors))?;
            }
        }
        ConnectorCommand::Activate { name, version } => {
            let verb = format!("{name}:activate");
            let request = client.request(Method::POST, &["v1", "connectors", &verb], &[]);
            let request = request.json(&json!({ "version": version }));
            let connector = request.send().await?.body;
            print_differences(&connector);
            if output.is_json() {
                output.document(&connector)?;
            } else {
                let mut versions = versions(vec![connector.clone()]);
                versions.retain(|entry| entry["version"] == connector["active"]);
                output.table(COLUMNS, &versions)?;
            }
        }
    }
    Ok(Exit::Done)
}

/// All versions of all connectors.
fn versions(connectors: Vec<Value>) -> Vec<Value> {
    let versions = |mut connector: Value| {
        connector
            .get_mut("versions")
            .and_then(Value::as_array_mut)
            .map(std::mem::take)
            .unwrap_or_default()
    };
    connectors.into_iter().flat_map(versions).collect()
}

async fn component(file: &Path) -> Result<Vec<u8>, CommandError> {
    let bytes = tokio::fs::read(file).await;
    let bytes = bytes.map_err(CommandError::reading(file))?;
    if !bytes.starts_with(b"\0asm") {
        return Err(CommandError::Usage(format!(
            "{}: not a WebAssembly file",
            file.display()
        )));
    }
    Ok(bytes)
}

fn print_differences(answer: &Value) {
    for difference in answer["differences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        print_message(difference);
    }
}
