//! `egression execution …`: looks at executions and steers them.

use std::time::Duration;

use clap::Subcommand;
use http::Method;

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::Output;
use super::progress::Progress;
use super::views::{EXECUTION_COLUMNS, JOB_COLUMNS, print_execution};
use super::watch;

/// Items that every host gives in one page.
const MAX_PAGE: usize = 100;

/// The commands on executions.
#[derive(Debug, Subcommand)]
pub(super) enum ExecutionCommand {
    /// Shows an execution: counts, belts, what its jobs wait for, errors.
    Get {
        /// `exe_…`
        id: String,
        /// Shows the progress and waits for the end.
        #[arg(long)]
        watch: bool,
        /// Waits for the end at most this long.
        #[arg(long, value_name = "SECS")]
        wait: Option<u64>,
    },
    /// Lists executions, newest first.
    List {
        /// Only those of this subscription.
        #[arg(long)]
        subscription: Option<String>,
        /// Only those with this status.
        #[arg(long)]
        status: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Lists the jobs of an execution.
    Jobs {
        /// `exe_…`
        id: String,
        /// Only those in this state: waiting, in_flight, accepted, succeeded, rejected, failed,
        /// unknown, superseded, cancelled.
        #[arg(long)]
        state: Option<String>,
        /// Only those for this channel.
        #[arg(long)]
        channel: Option<String>,
        /// Only those of this object.
        #[arg(long)]
        object_id: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Cancels what still waits; what is in flight finishes.
    Cancel {
        /// `exe_…`
        id: String,
    },
    /// Holds what still waits.
    Pause {
        /// `exe_…`
        id: String,
    },
    /// Lets a paused execution go on.
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
    Ok(watch::verdict(&last))
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

/// Items to ask for at once; the rest comes page by page.
fn page(limit: usize) -> String {
    limit.clamp(1, MAX_PAGE).to_string()
}

/// The filters that were given.
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
