//! The host's view of an execution, as far as the command line reads it. Unknown fields are
//! ignored.

use serde::Deserialize;
use serde_json::Value;

use super::output::{Column, Output};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Execution {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) done: bool,
    pub(super) counts: Counts,
    pub(super) channels: Vec<Channel>,
}

/// The jobs by state. They add up to the total.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) waiting: u64,
    pub(super) in_flight: u64,
    pub(super) accepted: u64,
    pub(super) succeeded: u64,
    pub(super) rejected: u64,
    pub(super) failed: u64,
    pub(super) superseded: u64,
    pub(super) cancelled: u64,
    pub(super) unknown: u64,
}

/// The progress on one channel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Channel {
    pub(super) channel: String,
    /// The running belt.
    pub(super) belt: Option<u32>,
    pub(super) belts: Vec<Belt>,
    pub(super) waiting: Vec<Waiting>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Belt {
    pub(super) belt: u32,
    pub(super) types: Vec<String>,
    pub(super) total: u64,
    pub(super) finished: u64,
}

/// Jobs that wait for the same reason.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) kind: String,
    pub(super) key: Option<String>,
    pub(super) until: Option<String>,
    pub(super) jobs: u64,
}

impl Execution {
    /// Reads a response. Missing fields get their defaults.
    pub(super) fn of(body: &Value) -> Self {
        Self::deserialize(body).unwrap_or_default()
    }

    /// Every job succeeded or was superseded.
    pub(super) fn ended_well(&self) -> bool {
        self.done && self.status == "succeeded"
    }
}

impl Counts {
    /// Jobs in a final state.
    pub(super) fn finished(&self) -> u64 {
        self.total
            .saturating_sub(self.waiting + self.in_flight + self.accepted)
    }

    /// The states that have jobs: `succeeded 7900, rejected 10`.
    pub(super) fn shown(&self) -> String {
        let states = [
            ("waiting", self.waiting),
            ("in flight", self.in_flight),
            ("accepted", self.accepted),
            ("succeeded", self.succeeded),
            ("rejected", self.rejected),
            ("failed", self.failed),
            ("unknown", self.unknown),
            ("superseded", self.superseded),
            ("cancelled", self.cancelled),
        ];
        states
            .iter()
            .filter(|(_, jobs)| *jobs > 0)
            .map(|(state, jobs)| format!("{state} {jobs}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Waiting {
    /// `limit shop-de/connection: 11800 until 2026-11-21T12:00:03.000Z`.
    pub(super) fn shown(&self) -> String {
        let key = self
            .key
            .as_deref()
            .map(|key| format!(" {key}"))
            .unwrap_or_default();
        let until = self
            .until
            .as_deref()
            .map(|until| format!(" until {until}"))
            .unwrap_or_default();
        format!("{}{key}: {}{until}", self.kind, self.jobs)
    }
}

/// The columns of a list of executions.
pub(super) const EXECUTION_COLUMNS: &[Column] = &[
    ("EXECUTION", "/id"),
    ("STATUS", "/status"),
    ("TOTAL", "/counts/total"),
    ("WAITING", "/counts/waiting"),
    ("IN FLIGHT", "/counts/in_flight"),
    ("ACCEPTED", "/counts/accepted"),
    ("SUCCEEDED", "/counts/succeeded"),
    ("REJECTED", "/counts/rejected"),
    ("FAILED", "/counts/failed"),
    ("UNKNOWN", "/counts/unknown"),
    ("SUPERSEDED", "/counts/superseded"),
    ("CANCELLED", "/counts/cancelled"),
];

/// The columns of a list of jobs.
pub(super) const JOB_COLUMNS: &[Column] = &[
    ("JOB", "/id"),
    ("CHANNEL", "/channel"),
    ("TYPE", "/object/type"),
    ("OBJECT", "/object/id"),
    ("ACTION", "/action"),
    ("STATE", "/state"),
    ("ATTEMPTS", "/attempts"),
    ("WAITS FOR", "/waiting/kind"),
    ("UNTIL", "/waiting/until"),
    ("CODE", "/code"),
    ("PROBLEM", "/problem/code"),
    ("MESSAGE", "/problem/message"),
];

const BELT_COLUMNS: &[Column] = &[
    ("CHANNEL", "/channel"),
    ("BELT", "/belt"),
    ("TYPES", "/types"),
    ("TOTAL", "/total"),
    ("FINISHED", "/finished"),
];
const WAITING_COLUMNS: &[Column] = &[
    ("CHANNEL", "/channel"),
    ("WAITS FOR", "/kind"),
    ("KEY", "/key"),
    ("UNTIL", "/until"),
    ("JOBS", "/jobs"),
];
const ERROR_COLUMNS: &[Column] = &[
    ("ERROR", "/code"),
    ("STATE", "/state"),
    ("JOBS", "/count"),
    ("EXAMPLE", "/example"),
];

/// Prints one execution: as JSON, or as tables of its counts, belts, waiting reasons and errors.
pub(super) fn print_execution(output: &Output, body: &Value) -> std::io::Result<()> {
    if output.is_json() {
        return output.document(body);
    }
    output.table(EXECUTION_COLUMNS, std::slice::from_ref(body))?;
    let channels = body
        .get("channels")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let errors = body
        .get("errors")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let sections = [
        (BELT_COLUMNS, of_channels(channels, "belts")),
        (WAITING_COLUMNS, of_channels(channels, "waiting")),
        (ERROR_COLUMNS, errors),
    ];
    for (columns, items) in sections.iter().filter(|(_, items)| !items.is_empty()) {
        output.text("")?;
        output.table(columns, items)?;
    }
    Ok(())
}

/// Joins a list of each channel into one list, with the channel's name in each item.
fn of_channels(channels: &[Value], list: &str) -> Vec<Value> {
    let named = |channel: &Value| -> Vec<Value> {
        let items = channel
            .get(list)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let name = channel.get("channel").cloned().unwrap_or_default();
        items
            .into_iter()
            .map(|mut item| {
                if let Some(fields) = item.as_object_mut() {
                    fields.insert("channel".to_owned(), name.clone());
                }
                item
            })
            .collect()
    };
    channels.iter().flat_map(named).collect()
}
