//! An execution as the API shows it: counts, status, progress, belts, waiting reasons and grouped
//! errors, all derived from one snapshot of the store, so that they agree with each other.

use std::sync::Arc;

use egression_core::domain::belt::BeltProgress;
use egression_core::domain::ids::{ConnectionId, JobId};
use egression_core::domain::state::JobState;
use egression_core::time::Wall;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job_view::JobView;
use crate::api::state::{ApiState, WaitingGroup};
use crate::documents::catalogue::{Catalogue, Connection, ConnectionState};
use crate::store::rows::{Context, ExecutionStatus, ProgressRow};

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its request is still being received.
    Receiving,
    /// Nothing was sent yet: no intent was ever committed.
    Queued,
    /// Under way.
    Running,
    /// Every waiting job waits for a pause.
    Paused,
    /// Cancelling was asked for; what is in flight finishes.
    Cancelling,
    /// Done: cancelled on request, at least in part.
    Cancelled,
    /// Done: nothing succeeded or was superseded, and something went wrong.
    Failed,
    /// Done: some of both.
    SucceededWithErrors,
    /// Done: nothing went wrong.
    Succeeded,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 9] = [
        Self::Receiving,
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Cancelling,
        Self::Cancelled,
        Self::Failed,
        Self::SucceededWithErrors,
        Self::Succeeded,
    ];

    /// The word used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::SucceededWithErrors => "succeeded_with_errors",
            Self::Succeeded => "succeeded",
        }
    }

    /// The status of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether an execution with this status is done.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::Failed | Self::SucceededWithErrors | Self::Succeeded
        )
    }
}

/// How many jobs stand where. The states add up to `total` at every instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// All jobs and refused items.
    pub total: u64,
    /// Not being sent now.
    pub waiting: u64,
    /// Being sent.
    pub in_flight: u64,
    /// The destination took them and decides later.
    pub accepted: u64,
    /// They are there.
    pub succeeded: u64,
    /// Bad data, refused items included.
    pub rejected: u64,
    /// Could not be delivered.
    pub failed: u64,
    /// A newer job was sent in their place.
    pub superseded: u64,
    /// Taken back before they were sent.
    pub cancelled: u64,
    /// They may or may not have arrived.
    pub unknown: u64,
}

impl Counts {
    /// The sum of all belts.
    #[must_use]
    pub fn of(progress: &[ProgressRow]) -> Self {
        let sum = |state: JobState| {
            progress
                .iter()
                .map(|row| row.belt.states[state as usize])
                .sum()
        };
        Self {
            total: progress.iter().map(|row| row.belt.total).sum(),
            waiting: sum(JobState::Waiting),
            in_flight: sum(JobState::InFlight),
            accepted: sum(JobState::Accepted),
            succeeded: sum(JobState::Succeeded),
            rejected: sum(JobState::Rejected),
            failed: sum(JobState::Failed),
            superseded: sum(JobState::Superseded),
            cancelled: sum(JobState::Cancelled),
            unknown: sum(JobState::Unknown),
        }
    }

    /// Jobs that will not change any more.
    #[must_use]
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
    /// Its id.
    #[schema(example = "exe_01jd8x2m4t7q9v0k3n5r8w1y6z")]
    pub id: String,
    /// Where it stands.
    pub status: Status,
    /// Nothing waits, is in flight or accepted.
    pub done: bool,
    /// Whose it is.
    pub subscription: Option<String>,
    /// When the request came.
    pub created_at: String,
    /// When its last job ended.
    pub completed_at: Option<String>,
    /// When it will be forgotten; null until it is done.
    pub expires_at: Option<String>,
    /// How many jobs stand where.
    pub counts: Counts,
    /// Finished ÷ total, from 0 to 1, rounded down.
    #[schema(example = 0.398)]
    pub progress: f64,
    /// When it will be done if it goes on as it did so far; null if that cannot be said.
    pub eta: Option<String>,
    /// The channels it goes to.
    pub channels: Vec<ChannelProgress>,
    /// The largest groups of errors.
    pub errors: Vec<ErrorGroupView>,
    /// As given with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// The execution that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// The jobs, where an answer includes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<JobView>>,
    /// Where to go on.
    pub links: ExecutionLinks,
}

/// An execution on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelProgress {
    /// The channel's name.
    pub channel: String,
    /// The belt that is under way: the first unfinished one, or the last.
    pub belt: u32,
    /// Its belts, as far as jobs are on them.
    pub belts: Vec<BeltView>,
    /// What its waiting jobs wait for.
    pub waiting: Vec<WaitingView>,
}

/// One belt of an execution on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeltView {
    /// From 1.
    pub belt: u32,
    /// The object types that the channel puts there. The last belt also takes types that no belt
    /// names.
    pub types: Vec<String>,
    /// Jobs.
    pub total: u64,
    /// Jobs that ended.
    pub finished: u64,
}

/// Waiting jobs that wait for the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingView {
    /// schedule, partition, belt, belt_hold, dependency, source, limit, turn, paused, parked,
    /// circuit, retry, blocked, merged.
    #[schema(example = "limit")]
    pub kind: String,
    /// Which one: the limit, the key, the object.
    pub key: Option<String>,
    /// Until when, if that is known.
    pub until: Option<String>,
    /// How many.
    pub jobs: u64,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorGroupView {
    /// The problem's code.
    #[schema(example = "price.missing")]
    pub code: String,
    /// How the jobs ended.
    #[schema(example = "rejected")]
    pub state: String,
    /// How many.
    pub count: u64,
    /// One of them.
    pub example: String,
}

/// Where to go on from an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecutionLinks {
    /// Its jobs.
    pub jobs: String,
    /// Its jobs that did not succeed.
    pub failed: String,
    /// Its events as a stream; null while this host does not serve them.
    pub events: Option<String>,
    /// Cancels it (POST); null when it is done.
    pub cancel: Option<String>,
}

/// Nothing waits, is in flight or accepted, and the request was received whole.
#[must_use]
pub fn is_done(status: &ExecutionStatus) -> bool {
    status.row.seal.is_some() && Counts::of(&status.progress).unfinished() == 0
}

/// Where an execution stands. `is_paused` says whether a connection's jobs wait for a pause of
/// channel or connection.
#[must_use]
pub fn derive(status: &ExecutionStatus, is_paused: impl Fn(ConnectionId) -> bool) -> Status {
    let counts = Counts::of(&status.progress);
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

/// The execution as shown.
#[must_use]
pub fn view(state: &ApiState, status: &ExecutionStatus) -> ExecutionView {
    let catalogue = state.configuration.catalogue();
    let counts = Counts::of(&status.progress);
    let done = is_done(status);
    let waiting = if counts.waiting > 0 && status.row.seal.is_some() {
        state.scheduling.waiting(status)
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
    let stands_still = matches!(derived, Status::Paused | Status::Receiving | Status::Queued);
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
        eta: if done || stands_still {
            None
        } else {
            eta(&counts, status.row.created_at, now).map(Wall::to_rfc3339)
        },
        counts,
        channels: channels(&catalogue, &status.progress, waiting),
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

/// When to ask again: sooner for what is soon done.
#[must_use]
pub fn retry_after(state: &ApiState, view: &ExecutionView) -> HeaderValue {
    let eta = view
        .eta
        .as_deref()
        .and_then(|text| Wall::parse_rfc3339(text).ok());
    let left_ms = eta.map_or(0, |at| at.since_ms(state.clock.wall()));
    HeaderValue::from((left_ms / 10_000).clamp(1, 30))
}

/// Finished ÷ total to three places, rounded down, so that 1 means all.
fn progress(counts: &Counts) -> f64 {
    let thousandths = (counts.finished() * 1000)
        .checked_div(counts.total)
        .unwrap_or(0);
    f64::from(u32::try_from(thousandths).unwrap_or(1000)) / 1000.0
}

/// The end if the rest goes as fast as what is finished.
fn eta(counts: &Counts, since: Wall, now: Wall) -> Option<Wall> {
    let elapsed = u128::try_from(now.since_ms(since)).ok()?;
    let left_ms =
        (elapsed * u128::from(counts.unfinished())).checked_div(u128::from(counts.finished()))?;
    Some(now.plus_ms(i64::try_from(left_ms).ok()?))
}

fn channels(
    catalogue: &Catalogue,
    progress: &[ProgressRow],
    mut waiting: Vec<(ConnectionId, Vec<WaitingGroup>)>,
) -> Vec<ChannelProgress> {
    let rows: Vec<&ProgressRow> = progress
        .iter()
        .filter(|row| row.connection.0 != 0)
        .collect();
    let groups = rows.chunk_by(|a, b| a.connection == b.connection);
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
                    .map(WaitingView::from)
                    .collect(),
            }
        })
        .collect()
}

/// A channel's name; one that was deleted since is named by its connection's number.
pub fn channel_name(entry: Option<&Arc<Connection>>, connection: ConnectionId) -> String {
    entry.map_or_else(
        || format!("deleted-{connection}"),
        |e| e.channel.name.clone(),
    )
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

impl From<WaitingGroup> for WaitingView {
    fn from(group: WaitingGroup) -> Self {
        Self {
            kind: group.kind.as_str().to_owned(),
            key: group.key,
            until: group.until.map(Wall::to_rfc3339),
            jobs: group.jobs,
        }
    }
}

#[cfg(test)]
mod tests;
