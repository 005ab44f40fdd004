//! A job and its history as the API shows them.

use std::collections::HashMap;
use std::sync::Arc;

use egression_core::domain::ids::{ConnectionId, JobId};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ends_by::{self, EndsBy};
use crate::api::http::problem::ApiError;
use crate::api::intake::submission::ObjectReference;
use crate::api::state::ApiState;
use crate::documents::catalogue::Connection;
use crate::store::rows::{EventRow, JobRow};

/// A job, or a refused item of a bulk request (with `channel` null, `belt` 0 and an `excerpt`).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    #[schema(example = "job_01jd8x2m4t7q9v0k3n5r8w1y6z0000h")]
    pub id: String,
    /// The id of its execution.
    pub execution: String,
    /// The index in the execution.
    pub index: u32,
    /// The caller's own reference.
    pub client_ref: Option<String>,
    pub subscription: Option<String>,
    /// The source of the body.
    pub source: Option<String>,
    /// The channel that it goes to.
    pub channel: Option<String>,
    pub object: ObjectReference,
    #[schema(example = "upsert")]
    pub action: String,
    /// The belt, from 1.
    pub belt: u32,
    /// Jobs with the same key are delivered one after the other.
    pub partition_key: String,
    /// waiting, in_flight, accepted, succeeded, rejected, failed, unknown, superseded, cancelled.
    #[schema(example = "succeeded")]
    pub state: String,
    /// The code that groups the job in `errors` of its execution; the filter `code` matches it. For
    /// a job that ended badly, it is `retries_exhausted`, `dependency_failed`, `expired` or the
    /// code of its problem; otherwise it is the code of the last error. `problem` has the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "retries_exhausted")]
    pub code: Option<String>,
    /// Attempts used.
    pub attempts: u32,
    /// Only for succeeded jobs: false if the destination already had the same object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// Only for waiting jobs: what the job waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<JobWaiting>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<JobProblem>,
    /// The object at the destination.
    pub remotes: Vec<RemoteView>,
    /// The job that replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// Only for refused items: the first bytes of the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    pub timestamps: JobTimestamps,
    pub links: JobLinks,
}

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobWaiting {
    /// schedule, partition, belt, belt_hold, dependency, source, limit, turn, paused, parked,
    /// circuit, retry, blocked, merged.
    #[schema(example = "partition")]
    pub kind: String,
    /// Which limit, key, object, source, bound or job.
    pub key: Option<String>,
    /// Until when, if known.
    pub until: Option<String>,
    /// Unfinished jobs before it in its key, counted up to 1,000, in lists up to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u32>,
    /// Only for a limit that the destination closed: what reopens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_by: Option<EndsBy>,
}

/// Why a job has not succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobProblem {
    /// Stable and machine-readable.
    #[schema(example = "price.missing")]
    pub code: String,
    /// One sentence for a person.
    pub message: String,
    /// The place in the body, or in the request for a refused item (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The destination's HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The destination's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_code: Option<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// An object at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemoteView {
    /// The kind, named by the connector.
    pub kind: String,
    /// The destination's id.
    pub id: String,
    /// The destination's version or ETag.
    pub version: Option<String>,
    /// A page about it for people.
    pub url: Option<String>,
}

/// The times of a job (RFC 3339).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobTimestamps {
    /// When its execution was accepted.
    pub created_at: String,
    /// Not sent before this time.
    pub scheduled_at: Option<String>,
    /// Not sent after this time.
    pub expires_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
}

/// Links of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobLinks {
    /// The history of the job.
    pub events: String,
    /// The id of its execution.
    pub execution: String,
    /// Cancels the job (POST); null if it is not waiting.
    pub cancel: Option<String>,
}

/// An event in the history of a job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Ascending within the job, from 1.
    pub seq: u32,
    pub at: String,
    /// submitted, resolved, sent, rescheduled, succeeded …; for a request to the destination:
    /// responded, no_answer, never_sent, limited, denied, unrecorded, credential_refused.
    #[schema(example = "responded")]
    pub stage: String,
    /// The attempt, if the event belongs to one.
    pub attempt: Option<u32>,
    /// The destination's HTTP status.
    pub http_status: Option<u16>,
    /// The duration of the request.
    pub duration_ms: Option<u64>,
    /// An object or a sentence.
    pub detail: Option<Value>,
    /// The trace of the job.
    pub trace_id: Option<String>,
    /// The connector's log lines: {level, message, attrs}.
    pub log: Vec<Value>,
}

impl EventView {
    pub fn of(row: EventRow, trace_id: Option<&str>) -> Self {
        let json = |text: &str| serde_json::from_str::<Value>(text).ok();
        Self {
            seq: row.seq,
            at: row.at.to_rfc3339(),
            stage: row.stage,
            attempt: row.attempt,
            http_status: row.http_status,
            duration_ms: row.duration_ms,
            detail: row.detail.map(|text| {
                json(&text)
                    .filter(Value::is_object)
                    .unwrap_or(Value::String(text))
            }),
            trace_id: trace_id.map(str::to_owned),
            log: row
                .log
                .as_deref()
                .and_then(json)
                .and_then(|lines| {
                    if let Value::Array(lines) = lines {
                        Some(lines)
                    } else {
                        None
                    }
                })
                .unwrap_or_default(),
        }
    }
}

/// How many jobs before one are counted at most.
const AHEAD_COUNTED: u32 = 1000;
/// The same in lists.
const AHEAD_COUNTED_IN_LISTS: u32 = 100;

/// The jobs of a list, with one query for remote objects per connection.
pub async fn views(state: &ApiState, rows: Vec<JobRow>) -> Result<Vec<JobView>, ApiError> {
    shown(state, rows, AHEAD_COUNTED_IN_LISTS).await
}

pub async fn view(state: &ApiState, row: JobRow) -> Result<JobView, ApiError> {
    let mut views = shown(state, vec![row], AHEAD_COUNTED).await?;
    views
        .pop()
        .ok_or_else(|| ApiError::Internal("a job without a view".to_owned()))
}

async fn shown(
    state: &ApiState,
    rows: Vec<JobRow>,
    ahead_counted: u32,
) -> Result<Vec<JobView>, ApiError> {
    let mut remotes = remotes(state, &rows).await?;
    let waiting = |kind: Option<WaitingKind>| {
        let of_kind = move |row: &&JobRow| {
            row.state == JobState::Waiting && (kind.is_none() || row.waiting == kind)
        };
        rows.iter()
            .filter(of_kind)
            .map(|row| row.seq)
            .collect::<Vec<_>>()
    };
    let ahead = state
        .store
        .queue_positions(&waiting(None), ahead_counted)
        .await?;
    let mut awaited = state
        .store
        .awaited(&waiting(Some(WaitingKind::Dependency)))
        .await?;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let before = Before {
            ahead: ahead.get(&row.seq).copied(),
            awaited: awaited.remove(&row.seq),
        };
        let own = remotes.remove(&row.seq).unwrap_or_default();
        views.push(one(state, row, own, before).await?);
    }
    Ok(views)
}

/// What a waiting job waits behind.
struct Before {
    ahead: Option<u32>,
    /// An object that it waits for.
    awaited: Option<ObjectKey>,
}

async fn one(
    state: &ApiState,
    row: JobRow,
    remotes: Vec<Remote>,
    before: Before,
) -> Result<JobView, ApiError> {
    let catalogue = state.configuration.catalogue();
    let id = JobId {
        execution: row.execution,
        index: row.seq.index(),
    };
    let superseded_by = match row.merged_into {
        Some(survivor) if survivor.execution() == row.seq.execution() => Some(JobId {
            execution: row.execution,
            index: survivor.index(),
        }),
        Some(survivor) => state.store.job_id(survivor).await?,
        None => None,
    };
    let waiting = if row.state == JobState::Waiting {
        waiting(state, &row, before, superseded_by.as_ref())
    } else {
        None
    };
    let channel = row.connection.map(|id| {
        let entry = catalogue.connection_by_id(id);
        channel_name(entry, id)
    });
    Ok(JobView {
        id: id.to_string(),
        execution: row.execution.to_string(),
        index: row.seq.index(),
        subscription: catalogue
            .subscription_by_id(row.subscription)
            .map(|s| s.name.clone()),
        source: row
            .source
            .and_then(|id| catalogue.source_by_id(id))
            .map(|source| source.name.clone()),
        channel,
        object: row.object.into(),
        action: row.action.as_str().to_owned(),
        belt: row.belt,
        partition_key: row.partition_key,
        state: row.state.as_str().to_owned(),
        code: row.code,
        attempts: row.attempts,
        changed: row.changed,
        waiting,
        problem: row.problem.map(JobProblem::from),
        remotes: remotes.into_iter().map(RemoteView::from).collect(),
        superseded_by: superseded_by.map(|id| id.to_string()),
        client_ref: row.client_ref,
        excerpt: row.excerpt,
        timestamps: JobTimestamps {
            created_at: row.created_at.to_rfc3339(),
            scheduled_at: row.scheduled_at.map(Wall::to_rfc3339),
            expires_at: row.expires_at.map(Wall::to_rfc3339),
            finished_at: row.finished_at.map(Wall::to_rfc3339),
        },
        links: JobLinks {
            events: format!("/v1/jobs/{id}/events"),
            execution: format!("/v1/executions/{}", row.execution),
            cancel: (row.state == JobState::Waiting).then(|| format!("/v1/jobs/{id}:cancel")),
        },
    })
}

/// `survivor`: the job that this one was merged into.
fn waiting(
    state: &ApiState,
    row: &JobRow,
    before: Before,
    survivor: Option<&JobId>,
) -> Option<JobWaiting> {
    let (kind, key, until) = state.view().job(row, before.ahead.unwrap_or(0))?;
    let catalogue = state.configuration.catalogue();
    let key = key.or_else(|| match kind {
        WaitingKind::Dependency => before.awaited.map(|object| object.to_string()),
        WaitingKind::Source => row
            .source
            .and_then(|id| catalogue.source_by_id(id))
            .map(|source| source.name.clone()),
        WaitingKind::Merged => survivor.map(ToString::to_string),
        _ => None,
    });
    let ends_by = match kind {
        WaitingKind::Limit => ends_by::if_closed(state, key.as_deref(), until),
        _ => None,
    };
    Some(JobWaiting {
        kind: kind.as_str().to_owned(),
        ends_by,
        key,
        until: until.map(Wall::to_rfc3339),
        ahead: before.ahead,
    })
}

/// A deleted channel is named by the number of its connection.
pub fn channel_name(entry: Option<&Arc<Connection>>, connection: ConnectionId) -> String {
    entry.map_or_else(
        || format!("deleted-{connection}"),
        |e| e.channel.name.clone(),
    )
}

async fn remotes(
    state: &ApiState,
    rows: &[JobRow],
) -> Result<HashMap<egression_core::domain::ids::JobSeq, Vec<Remote>>, ApiError> {
    let mut by_connection: HashMap<ConnectionId, Vec<&JobRow>> = HashMap::new();
    for row in rows {
        if let Some(connection) = row.connection {
            by_connection.entry(connection).or_default().push(row);
        }
    }
    let mut found = HashMap::new();
    for (connection, rows) in by_connection {
        let objects: Vec<ObjectKey> = rows.iter().map(|row| row.object.clone()).collect();
        let lists = state.store.remotes(connection, &objects).await?;
        found.extend(rows.iter().map(|row| row.seq).zip(lists));
    }
    Ok(found)
}

impl From<Problem> for JobProblem {
    fn from(p: Problem) -> Self {
        Self {
            code: p.code,
            message: p.message,
            pointer: p.pointer,
            http_status: p.http_status,
            destination_code: p.destination_code,
            link: p.link,
        }
    }
}

impl From<Remote> for RemoteView {
    fn from(remote: Remote) -> Self {
        Self {
            kind: remote.kind,
            id: remote.id,
            version: remote.version,
            url: remote.url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_shows_objects_sentences_and_log_lines() {
        let row = |detail: &str, log: Option<&str>| EventRow {
            seq: 1,
            at: Wall(0),
            stage: "responded".into(),
            attempt: Some(1),
            http_status: Some(429),
            duration_ms: Some(3),
            detail: Some(detail.into()),
            log: log.map(str::to_owned),
        };
        let event = EventView::of(
            row(
                "{\"a\":1}",
                Some("[{\"level\":\"info\",\"message\":\"m\"}]"),
            ),
            Some("t"),
        );
        assert_eq!(event.detail, Some(serde_json::json!({"a": 1})));
        assert_eq!(event.log.len(), 1);
        assert_eq!(
            EventView::of(row("12", Some("no json")), None).detail,
            Some(Value::String("12".into()))
        );
    }
}
