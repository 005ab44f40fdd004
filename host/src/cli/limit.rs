//! `egression limit …`: lists limits and reopens those that a destination closed.

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Column, Output};

const MAX_LISTED: usize = 10_000;

const COLUMNS: &[Column] = &[
    ("KEY", "/key"),
    ("KIND", "/kind"),
    ("OWNER", "/owner"),
    ("ADMITTED", "/admitted"),
    ("USED", "/used_share"),
    ("WAITING", "/waiting"),
    ("CLOSED UNTIL", "/closed_until"),
];
const PREVIEW_COLUMNS: &[Column] = &[
    ("JOBS", "/jobs"),
    ("MAY BE WRITTEN TWICE", "/may_be_written_twice"),
];

#[derive(Debug, Subcommand)]
pub(super) enum LimitCommand {
    /// List the limits: their use, the jobs that wait for them, and which of them are closed.
    List {
        /// Only those of this channel.
        #[arg(long)]
        channel: Option<String>,
        /// Only those of this subscription.
        #[arg(long)]
        subscription: Option<String>,
        /// Only those of this source.
        #[arg(long)]
        source: Option<String>,
    },
    /// Reopen a limit that a destination closed.
    Reopen {
        /// Key of the limit, as listed.
        key: String,
        /// Show what would happen, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) async fn run(
    command: LimitCommand,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    match command {
        LimitCommand::List {
            channel,
            subscription,
            source,
        } => {
            let filters = [
                ("channel", channel),
                ("subscription", subscription),
                ("source", source),
            ];
            let query: Vec<(&str, &str)> = filters
                .iter()
                .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
                .collect();
            let limits = client.list(&["v1", "limits"], &query, MAX_LISTED).await?;
            output.items(COLUMNS, &limits)?;
        }
        LimitCommand::Reopen {
            key,
            dry_run,
            reason,
        } => {
            let answer = client
                .request(
                    Method::POST,
                    &["v1", "limits", &format!("{key}:reopen")],
                    &[],
                )
                .json(&json!({"dry_run": dry_run, "reason": reason}))
                .send()
                .await?
                .body;
            if output.is_json() {
                output.document(&answer)?;
            } else if dry_run {
                output.table(PREVIEW_COLUMNS, &[answer])?;
            } else {
                output.table(COLUMNS, &[answer])?;
            }
        }
    }
    Ok(Exit::Done)
}
