//! `egression apply FILE.toml`: sends a file to a running host, which applies all of it or nothing.

use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Column, Output};
use crate::settings::file;

const COLUMNS: &[Column] = &[
    ("KIND", "/kind"),
    ("NAME", "/name"),
    ("VERSION", "/version"),
    ("CREATED", "/created"),
];

/// The arguments of `egression apply`.
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// Configuration file in the format of `egression serve --config`. Its `[server]` table is
    /// ignored. The documents may refer to documents that are already on the host. The host reads
    /// the environment variables and files that secrets refer to.
    file: PathBuf,
}

pub(super) async fn run(
    args: &ApplyArgs,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    // Checked locally first, for errors with line numbers.
    file::load_part(&args.file)?;
    let text = tokio::fs::read(&args.file).await;
    let text = text.map_err(CommandError::reading(&args.file))?;
    let request = client
        .request(Method::POST, &["v1", "documents:apply"], &[])
        .header("content-type", "application/toml");
    let answer = request.body(text).send().await?.body;
    if output.is_json() {
        output.document(&answer)?;
    } else {
        let applied = answer
            .get("applied")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        output.table(COLUMNS, applied)?;
    }
    Ok(Exit::Done)
}
