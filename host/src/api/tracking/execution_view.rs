//! An execution as the API shows it: counts, status, progress, belts, waiting reasons and grouped
//! errors. All derive from one snapshot of the store, so they are consistent.

use std::sync::Arc;

use egression_core::domain::belt::BeltProgress;
use egression_core::domain::ids::{ConnectionId, JobId};
use egression_core::domain::state::JobState;
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ends_by::{self, EndsBy};
use super::job_view::{JobView, channel_name};
use crate::api::state::ApiState;
use crate::dispatch::WaitingGroup;
use crate::documents::catalogue::{Catalogue, Connection, ConnectionState};
use crate::store::rows::{Context, ExecutionStatus, ProgressRow};

/// The status of an execution.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    /// The request is still arriving.
    Receiving,
    /// Nothing was sent yet.
    Queued,
    /// Work is in progress.
    Running,
    /// Every waiting job waits for a pause.
    Paused,
    /// A cancel was requested, and jobs are still in flight or accepted.
    Cancelling,
    /// Done: a cancel was requested, and at least one job is cancelled.
    Cancelled,
    /// Done: something went wrong, and nothing succeeded or was superseded.
    Failed,
    /// Done: some jobs succeeded, and some did not.
    SucceededWithErrors,
    /// Done: nothing went wrong.
    Succeeded,
}

impl Status {
    pub const fn is_done(self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::Failed | Self::SucceededWithErrors | Self::Succeeded
        )
    }
}

/// The number of jobs by state. The states add up to `total` at every instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// All jobs and refused items.
    pub total: u64,
    /// Not sent yet, or waiting for another attempt.
    pub waiting: u64,
    /// Being sent now.
    pub in_flight: u64,
    /// Accepted by the destination, which decides later.
    pub accepted: u64,
    /// Delivered.
    pub succeeded: u64,
    /// Refused because of their data, with the refused items.
    pub rejected: u64,
    /// Not delivered.
    pub failed: u64,
    /// Replaced by a newer job.
    pub superseded: u64,
    /// Cancelled before they were sent.
    pub cancelled: u64,
    /// It is unknown whether they arrived.
    pub unknown: u64,
}

impl Counts {
    /// The sum over all belts, and the refused items.
    pub fn of(status: &ExecutionStatus) -> Self {
        let (belts, refused) = (&status.progress, status.row.refused);
        let sum = |state: JobState| {
            let jobs = belts.iter().map(|row| row.belt.states[state as usize]);
            jobs.sum::<u64>()
        };
        Self {
            total: belts.iter().map(|row| row.belt.total).sum::<u64>() + refused,
            waiting: sum(JobState::Waiting),
            in_flight: sum(JobState::InFlight),
            accepted: sum(JobState::Accepted),
            succeeded: sum(JobState::Succeeded),
            rejected: sum(JobState::Rejected) + refused,
            failed: sum(JobState::Failed),
            superseded: sum(JobState::Superseded),
            cancelled: sum(JobState::Cancelled),
            unknown: sum(JobState::Unknown),
        }
    }

    /// Jobs that have ended.
    pub const fn finished(&self) -> u64 {
        self.total - self.unfinished()
    }

    const fn unfinished(&self) -> u64 {
        self.waiting + self.in_flight + self.accepted
    }
}

/// An execution.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExecutionView {
    #[schema(example = "exe_01jd8x2m4t7q9v0k3n5r8w1y6z")]
    pub id: String,
    pub status: Status,
    /// No job is waiting, in flight or accepted.
    pub done: bool,
    pub subscription: Option<String>,
    /// When the request arrived.
    pub created_at: String,
    /// When the last job ended.
    pub completed_at: Option<String>,
    /// When the host will remove it; null until it is done.
    pub expires_at: Option<String>,
    pub counts: Counts,
    /// Finished jobs ÷ all jobs, from 0 to 1, rounded down.
    #[schema(example = 0.398)]
    pub progress: f64,
    /// The estimated end at the current speed; null if unknown.
    pub eta: Option<String>,
    pub channels: Vec<ChannelProgress>,
    /// The largest groups of errors.
    pub errors: Vec<ErrorGroupView>,
    /// As sent with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// The execution that this one retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// The jobs, in responses that include them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<JobView>>,
    pub links: ExecutionLinks,
}

/// An execution on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelProgress {
    pub channel: String,
    /// The current belt: the first unfinished one, otherwise the last.
    pub belt: u32,
    /// The belts that have jobs.
    pub belts: Vec<BeltView>,
    /// What the waiting jobs wait for.
    pub waiting: Vec<WaitingView>,
}

/// One belt of an execution on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeltView {
    /// From 1.
    pub belt: u32,
    /// The object types that the channel assigns to the belt. The last belt also has the types that
    /// no belt names.
    pub types: Vec<String>,
    /// All jobs.
    pub total: u64,
    /// Jobs that have ended.
    pub finished: u64,
}

/// Jobs that wait for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingView {
    /// schedule, partition, belt, belt_hold, dependency, source, limit, turn, paused, parked,
    /// circuit, retry, blocked, merged.
    #[schema(example = "limit")]
    pub kind: String,
    /// Which limit, key or object.
    pub key: Option<String>,
    /// Until when, if known.
    pub until: Option<String>,
    /// The number of jobs.
    pub jobs: u64,
    /// Only for a limit that the destination closed: what reopens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_by: Option<EndsBy>,
}

/// Jobs with the same error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorGroupView {
    /// The problem's code.
    #[schema(example = "price.missing")]
    pub code: String,
    /// The state of the jobs.
    #[schema(example = "rejected")]
    pub state: String,
    /// The number of jobs.
    pub count: u64,
    /// The id of one of the jobs.
    pub example: String,
}

/// Links of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecutionLinks {
    /// The jobs.
    pub jobs: String,
    /// The jobs that did not succeed.
    pub failed: String,
    /// The events as a stream; null because this host does not have them.
    pub events: Option<String>,
    /// Cancels the execution (POST); null if it is done.
    pub cancel: Option<String>,
}

/// No job is waiting, in flight or accepted, and the request was received completely.
pub fn is_done(status: &ExecutionStatus) -> bool {
    status.row.seal.is_some() && Counts::of(status).unfinished() == 0
}

/// The status of an execution. `is_paused`: whether a connection or its channel is paused.
pub fn derive(status: &ExecutionStatus, is_paused: impl Fn(ConnectionId) -> bool) -> Status {
    let counts = Counts::of(status);
    if status.row.seal.is_none() {
        return Status::Receiving;
    }
    if counts.unfinished() > 0 {
        return unfinished(status, is_paused);
    }
    let good = counts.succeeded + counts.superseded;
    let bad = counts.rejected + counts.failed + counts.unknown;
    match (good, bad) {
        _ if status.row.cancel_requested_at.is_some() && counts.cancelled > 0 => Status::Cancelled,
        (0, 0) if counts.cancelled > 0 => Status::Cancelled,
        (_, 0) => Status::Succeeded,
        (0, _) => Status::Failed,
        _ => Status::SucceededWithErrors,
    }
}

fn unfinished(status: &ExecutionStatus, is_paused: impl Fn(ConnectionId) -> bool) -> Status {
    if status.row.cancel_requested_at.is_some() {
        return Status::Cancelling;
    }
    let mut waiting = status
        .progress
        .iter()
        .filter(|row| row.belt.states[JobState::Waiting as usize] > 0)
        .peekable();
    if waiting.peek().is_some()
        && (status.row.paused || waiting.all(|row| is_paused(row.connection)))
    {
        return Status::Paused;
    }
    if status.progress.iter().any(|row| row.sent) {
        Status::Running
    } else {
        Status::Queued
    }
}

pub fn view(state: &ApiState, status: &ExecutionStatus) -> ExecutionView {
    let catalogue = state.configuration.catalogue();
    let counts = Counts::of(status);
    let done = is_done(status);
    let waiting = if counts.waiting > 0 && status.row.seal.is_some() {
        state.view().waiting(status)
    } else {
        Vec::new()
    };
    let derived = derive(status, |connection| {
        catalogue
            .connection_by_id(connection)
            .is_some_and(|c| c.channel.paused || matches!(c.state, ConnectionState::Paused { .. }))
    });
    let now = state.clock.wall();
    let path = format!("/v1/executions/{}", status.row.id);
    let is_idle = matches!(derived, Status::Paused | Status::Receiving | Status::Queued);
    ExecutionView {
        id: status.row.id.to_string(),
        status: derived,
        done,
        subscription: catalogue
            .subscription_by_id(status.row.subscription)
            .map(|s| s.name.clone()),
        created_at: status.row.created_at.to_rfc3339(),
        completed_at: status.row.completed_at.map(Wall::to_rfc3339),
        expires_at: status.row.expires_at.map(Wall::to_rfc3339),
        progress: progress(&counts),
        eta: if done || is_idle {
            None
        } else {
            eta(&counts, status.row.created_at, now).map(Wall::to_rfc3339)
        },
        counts,
        channels: channels(state, &catalogue, &status.progress, waiting),
        errors: errors(status),
        context: status.row.context.clone(),
        retry_of: status.row.retry_of.map(|id| id.to_string()),
        jobs: None,
        links: ExecutionLinks {
            jobs: format!("{path}/jobs"),
            failed: format!("{path}/jobs?state=failed,rejected,unknown"),
            events: None,
            cancel: (!done).then(|| format!("{path}:cancel")),
        },
    }
}

/// When to poll again: sooner for an execution that is done soon.
pub fn retry_after(state: &ApiState, view: &ExecutionView) -> HeaderValue {
    let eta = view
        .eta
        .as_deref()
        .and_then(|text| Wall::parse_rfc3339(text).ok());
    let left_ms = eta.map_or(0, |at| at.since_ms(state.clock.wall()));
    HeaderValue::from((left_ms / 10_000).clamp(1, 30))
}

/// Rounded down to three places, so that 1 means all.
fn progress(counts: &Counts) -> f64 {
    let thousandths = (counts.finished() * 1000)
        .checked_div(counts.total)
        .unwrap_or(0);
    f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0
}

/// The end if the rest is as fast as the finished jobs.
fn eta(counts: &Counts, since: Wall, now: Wall) -> Option<Wall> {
    let elapsed = u128::try_from(now.since_ms(since)).ok()?;
    let left_ms =
        (elapsed * u128::from(counts.unfinished())).checked_div(u128::from(counts.finished()))?;
    Some(now.plus_ms(i64::try_from(left_ms).ok()?))
}

fn channels(
    state: &ApiState,
    catalogue: &Catalogue,
    progress: &[ProgressRow],
    mut waiting: Vec<(ConnectionId, Vec<WaitingGroup>)>,
) -> Vec<ChannelProgress> {
    let groups = progress.chunk_by(|a, b| a.connection == b.connection);
    groups
        .map(|belts| {
            let connection = belts[0].connection;
            let entry = catalogue.connection_by_id(connection);
            let at = belts
                .iter()
                .find(|row| row.belt.finished() < row.belt.total)
                .or(belts.last());
            let own = waiting
                .iter_mut()
                .find(|(id, _)| *id == connection)
                .map(|(_, groups)| std::mem::take(groups));
            ChannelProgress {
                channel: channel_name(entry, connection),
                belt: at.map_or(1, |row| row.belt.belt),
                belts: belts
                    .iter()
                    .map(|row| belt_view(entry, &row.belt))
                    .collect(),
                waiting: own
                    .unwrap_or_default()
                    .into_iter()
                    .map(|group| waiting_view(state, group))
                    .collect(),
            }
        })
        .collect()
}

fn belt_view(entry: Option<&Arc<Connection>>, belt: &BeltProgress) -> BeltView {
    let types = entry.and_then(|e| e.channel.belts.get((belt.belt as usize).saturating_sub(1)));
    BeltView {
        belt: belt.belt,
        types: types.cloned().unwrap_or_default(),
        total: belt.total,
        finished: belt.finished(),
    }
}

fn errors(status: &ExecutionStatus) -> Vec<ErrorGroupView> {
    let view = |group: &crate::store::rows::ErrorGroup| ErrorGroupView {
        code: group.code.clone(),
        state: group.state.as_str().to_owned(),
        count: group.jobs,
        example: JobId {
            execution: status.row.id,
            index: group.example.index(),
        }
        .to_string(),
    };
    status.errors.iter().map(view).collect()
}

fn waiting_view(state: &ApiState, group: WaitingGroup) -> WaitingView {
    WaitingView {
        kind: group.kind.as_str().to_owned(),
        ends_by: match group.kind {
            WaitingKind::Limit => ends_by::if_closed(state, group.key.as_deref(), group.until),
            _ => None,
        },
        key: group.key,
        until: group.until.map(Wall::to_rfc3339),
        jobs: group.jobs,
    }
}

#[cfg(test)]
mod tests;
