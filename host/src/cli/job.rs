//! `egression job …`: inspects and cancels single jobs.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::exit::{CommandError, Exit};
use super::output::{Column, Output};
use super::views::JOB_COLUMNS;

const MAX_EVENTS: usize = 10_000;

const EVENT_COLUMNS: &[Column] = &[
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("STAGE", "/stage"),
    ("ATTEMPT", "/attempt"),
    ("STATUS", "/http_status"),
    ("MS", "/duration_ms"),
    ("DETAIL", "/detail"),
];

#[derive(Debug, Subcommand)]
pub(super) enum JobCommand {
    /// Show a job.
    Get {
        /// `job_…`
        id: String,
    },
    /// Show the history of a job, with the connector's log.
    Events {
        /// `job_…`
        id: String,
    },
    /// Cancel a waiting job.
    Cancel {
        /// `job_…`
        id: String,
    },
}

pub(super) async fn run(
    command: JobCommand,
    client: &Client,
    output: &Output,
) -> Result<Exit, CommandError> {
    match command {
        JobCommand::Get { id } => {
            let job = client.get(&["v1", "jobs", &id]).await?;
            output.item(JOB_COLUMNS, &job)?;
        }
        JobCommand::Events { id } => {
            let events = client
                .list(&["v1", "jobs", &id, "events"], &[], MAX_EVENTS)
                .await?;
            if output.is_json() {
                output.items(EVENT_COLUMNS, &events)?;
            } else {
                output.table(EVENT_COLUMNS, &with_log(events))?;
            }
        }
        JobCommand::Cancel { id } => {
            let verb = format!("{id}:cancel");
            let request = client.request(Method::POST, &["v1", "jobs", &verb], &[]);
            output.item(JOB_COLUMNS, &request.send().await?.body)?;
        }
    }
    Ok(Exit::Done)
}

/// Inserts the connector's log lines after each event.
fn with_log(events: Vec<Value>) -> Vec<Value> {
    let text = |line: &Value, field: &str| {
        line.get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let row = |line: &Value| {
        let detail = format!("{} {}", text(line, "level"), text(line, "message"));
        json!({"stage": "log", "detail": detail})
    };
    let lines = |event: Value| {
        let log: Vec<Value> = event
            .get("log")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(row)
            .collect();
        std::iter::once(event).chain(log)
    };
    events.into_iter().flat_map(lines).collect()
}
