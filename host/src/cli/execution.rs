//! `egression execution …`: lists, inspects, pauses, resumes and cancels executions.

use std::time::Duration;

use clap::Subcommand;
use http::Method;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::Output;
use super::progress::Progress;
use super::views::{EXECUTION_COLUMNS, JOB_COLUMNS, print_execution};
use super::watch;

/// The page size that every host accepts.
const MAX_PAGE: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum ExecutionCommand {
    /// Show an execution: counts, belts, waiting reasons and errors.
    Get {
        /// `exe_…`
        id: String,
        /// Show the progress and wait for the end.
        #[arg(long)]
        watch: bool,
        /// Wait for the end, at most this many seconds.
        #[arg(long, value_name = "SECS")]
        wait: Option<u64>,
    },
    /// List executions, newest first.
    List {
        /// Only executions of this subscription.
        #[arg(long)]
        subscription: Option<String>,
        /// Only executions with this status.
        #[arg(long)]
        status: Option<String>,
        /// Maximum number of results.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// List the jobs of an execution.
    Jobs {
        /// `exe_…`
        id: String,
        /// Only jobs in this state: waiting, in_flight, accepted, succeeded, rejected, failed,
        /// unknown, superseded, cancelled.
        #[arg(long)]
        state: Option<String>,
        /// Only jobs for this channel.
        #[arg(long)]
        channel: Option<String>,
        /// Only jobs of this object.
        #[arg(long)]
        object_id: Option<String>,
        /// Maximum number of results.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Cancel the waiting jobs of an execution. Jobs in flight finish.
    Cancel {
        /// `exe_…`
        id: String,
    },
    /// Pause an execution. Jobs in flight finish.
    Pause {
        /// `exe_…`
        id: String,
    },
    /// Resume a paused execution.
    Resume {
        /// `exe_…`
        id: String,
    },
}

pub(super) async fn run(
    command: ExecutionCommand,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    match command {
        ExecutionCommand::Get { id, watch, wait } => {
            return get(&id, watch, wait, client, output).await;
        }
        ExecutionCommand::List {
            subscription,
            status,
            limit,
        } => {
            let query = given([
                ("subscription", subscription),
                ("status", status),
                ("limit", Some(page(limit))),
            ]);
            let items = client
                .list(&["v1", "executions"], &borrowed(&query), limit)
                .await?;
            output.items(EXECUTION_COLUMNS, &items)?;
        }
        ExecutionCommand::Jobs {
            id,
            state,
            channel,
            object_id,
            limit,
        } => {
            let query = given([
                ("state", state),
                ("channel", channel),
                ("object_id", object_id),
                ("limit", Some(page(limit))),
            ]);
            let items = client
                .list(&["v1", "executions", &id, "jobs"], &borrowed(&query), limit)
                .await?;
            output.items(JOB_COLUMNS, &items)?;
        }
        ExecutionCommand::Cancel { id } => act(&id, "cancel", client, output).await?,
        ExecutionCommand::Pause { id } => act(&id, "pause", client, output).await?,
        ExecutionCommand::Resume { id } => act(&id, "resume", client, output).await?,
    }
    Ok(Exit::Done)
}

async fn get(
    id: &str,
    watch: bool,
    wait: Option<u64>,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    let now = client.get(&["v1", "executions", id]).await?;
    if !watch && wait.is_none() {
        print_execution(output, &now)?;
        return Ok(Exit::Done);
    }
    let mut progress = if watch {
        Progress::on_stderr()
    } else {
        Progress::Silent
    };
    let last = watch::follow(client, now, &mut progress, wait.map(Duration::from_secs)).await?;
    print_execution(output, &last)?;
    Ok(watch::exit_code(&last))
}

async fn act(id: &str, verb: &str, client: &Client, output: &Output) -> Result<(), CommandError> {
    let answer = client
        .request(
            Method::POST,
            &["v1", "executions", &format!("{id}:{verb}")],
            &[],
        )
        .send()
        .await?;
    Ok(print_execution(output, &answer.body)?)
}

/// The page size for a limit.
fn page(limit: usize) -> String {
    limit.clamp(1, MAX_PAGE).to_string()
}

/// Drops the filters that were not given.
fn given<const N: usize>(
    filters: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    query
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
