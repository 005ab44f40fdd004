//! `egression apply FILE.toml`: the documents of a file, sent to a running host one after the other.

use std::path::PathBuf;

use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Output, talk};
use crate::config::documents::Documents;
use crate::config::file;

/// The arguments of `egression apply`.
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    /// A file as for `egression serve --config`; its `[server]` table is passed over. What the documents name may be on
    /// the host already. Environment variables and files with secrets are read on the host.
    file: PathBuf,
}

pub(super) async fn run(args: &ApplyArgs, client: &Client, output: &Output) -> Result<Exit, CommandError> {
    let mut done = Vec::new();
    let outcome = send(file::load_part(&args.file)?, client, &mut done).await;
    output.items(&[("DOCUMENT", "/document"), ("RESULT", "/result"), ("VERSION", "/version")], &done)?;
    if outcome.is_err() {
        talk(&format!("stopped after {} documents; these are in force", done.len()));
    }
    outcome.map(|()| Exit::Done)
}

async fn send(documents: Documents, client: &Client, done: &mut Vec<Value>) -> Result<(), CommandError> {
    for (segments, body) in in_order(&documents) {
        let document = segments[1..].join("/");
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let sent = client.request(Method::PUT, &path, &[]).json(&body).send().await;
        let answer = sent.map_err(|source| CommandError::Document { document: document.clone(), source })?;
        let result = if answer.status == StatusCode::CREATED { "created" } else { "updated" };
        let version = answer.etag().map(|etag| etag.trim_matches('"').to_owned());
        done.push(json!({"document": document, "result": result, "version": version}));
    }
    Ok(())
}

/// Paths and bodies in an order in which none names a later one.
fn in_order(documents: &Documents) -> Vec<(Vec<String>, Value)> {
    let owned = |segments: &[&str]| segments.iter().map(|segment| (*segment).to_owned()).collect::<Vec<_>>();
    let subscriptions = documents.subscriptions.iter().map(|d| (owned(&["v1", "subscriptions", &d.name]), body(d)));
    let sources = documents.sources.iter().map(|d| (owned(&["v1", "sources", &d.name]), body(d)));
    let channels = documents.channels.iter().map(|d| (owned(&["v1", "channels", &d.name]), body(d)));
    let connections = documents.connections.iter().map(|d| (owned(&["v1", "channels", &d.channel, "connections", &d.subscription]), body(d)));
    subscriptions.chain(sources).chain(channels).chain(connections).collect()
}

fn body<T: Serialize>(document: &T) -> Value {
    serde_json::to_value(document).unwrap_or_default()
}
