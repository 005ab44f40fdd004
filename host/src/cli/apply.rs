//! `egression apply FILE.toml`: the text of a file, sent to a running host that puts all of it in
//! force or nothing.

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
    /// A file as for `egression serve --config`; its `[server]` table is passed over. What the
    /// documents name may be on the host already. Environment variables and files with secrets are
    /// read on the host.
    file: PathBuf,
}

pub(super) async fn run(
    args: &ApplyArgs,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    // Looked at here first: the host does not know the lines of a file.
    file::load_part(&args.file)?;
    let text = tokio::fs::read(&args.file)
        .await
        .map_err(|source| CommandError::Read {
            path: args.file.display().to_string(),
            source,
        })?;
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
