//! A job on its way: what was claimed, what will be sent, and the settlements that end or delay it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use egression_core::domain::action::Action;
use egression_core::domain::ids::{ConnectionId, JobId};
use egression_core::domain::object::{ObjectKey, Remote};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState};
use egression_core::domain::waiting::WaitingKind;
use egression_core::scheduler::Head;
use egression_core::time::Wall;

use crate::documents::model::{ChannelDocument, ConnectionDocument};
use crate::gate::Destination;
use crate::runtime::Connector;
use crate::runtime::description::{Description, TypeSupport};
use crate::store::rows::{ClaimRow, IdMapChange, NewEvent, Pinned, Settlement, Transition};

use crate::delivery::deliver::Deliverer;
use crate::delivery::settle::events;

/// The optional interface that tells whether lost sends arrived, by its name in the contract.
const RECONCILIATION: &str = "reconciliation";

/// Everything that a call on a connection needs, as configured when the call began.
#[derive(Clone, Debug)]
pub struct Route {
    pub connection: ConnectionId,
    pub subscription_name: String,
    pub channel_name: String,
    pub channel: Arc<ChannelDocument>,
    pub document: Arc<ConnectionDocument>,
    pub connector: Arc<Connector>,
    pub destination: Arc<Destination>,
}

impl Route {
    pub fn description(&self) -> &Description {
        self.connector.description()
    }

    /// The connector can be asked whether a send arrived whose answer was lost.
    pub fn reconciles(&self) -> bool {
        self.description()
            .optional_exports
            .iter()
            .any(|name| name == RECONCILIATION)
    }
}

impl Deliverer {
    /// The way to a connection's destination; none if any part of it is gone.
    pub async fn route(&self, connection: ConnectionId) -> Option<Route> {
        let catalogue = self.configuration.catalogue();
        let entry = catalogue.connection_by_id(connection)?;
        let channel = &entry.channel;
        let connector = self
            .registry
            .connector(
                &channel.document.connector,
                channel.document.version.as_deref(),
            )
            .await?;
        let destination = self.gate.destination(&format!("connection:{connection}"))?;
        Some(Route {
            connection,
            subscription_name: entry.document.subscription.clone(),
            channel_name: entry.document.channel.clone(),
            channel: Arc::new(channel.document.clone()),
            document: Arc::new(entry.document.clone()),
            connector,
            destination,
        })
    }
}

/// A job with the bytes that will be sent.
#[derive(Clone, Debug)]
pub struct Work {
    pub head: Head,
    pub row: ClaimRow,
    pub job_id: JobId,
    /// What it is sent as: what was asked for, or `upsert` in its place.
    pub action: Action,
    pub pinned: Pinned,
    /// The references of the body.
    pub references: Vec<(String, ObjectKey)>,
    pub reference_remotes: Vec<Vec<Remote>>,
    /// The number of this attempt.
    pub attempt: u32,
    /// What led to this send, for the history: resolved, reconciled …
    pub before: Vec<NewEvent>,
}

impl Work {
    pub fn bytes(&self) -> u64 {
        self.pinned.body.as_ref().map_or(0, |b| b.len() as u64)
    }

    pub fn support<'a>(&self, route: &'a Route) -> Option<&'a TypeSupport> {
        route
            .description()
            .object_type(&self.row.object.object_type)
    }

    pub fn is_idempotent(&self, route: &Route) -> bool {
        self.support(route)
            .is_some_and(|s| s.idempotent_actions.contains(&self.action))
    }
}

/// The bytes of a first attempt, with their key: the same for every repeat of the same bytes of the
/// same job. Where neither job nor source names a revision, nor has named one of the object before,
/// the delivery is numbered.
pub fn pin(
    job: JobId,
    row: &ClaimRow,
    action: Action,
    body: Option<String>,
    revision: Option<u64>,
) -> Pinned {
    let hash = digest(&SHA256, body.as_deref().unwrap_or_default().as_bytes());
    let mut body_hash = [0; 32];
    body_hash.copy_from_slice(hash.as_ref());
    let key = digest(
        &SHA256,
        format!("{job}\n{}\n{}", action.as_str(), hex::encode(body_hash)).as_bytes(),
    );
    let idempotency_key = hex::encode(&key.as_ref()[..16]);
    let counted = revision
        .or(row.delivered_revision)
        .is_none()
        .then(|| row.deliveries.saturating_add(1));
    Pinned {
        action,
        body,
        body_hash,
        revision,
        counted,
        idempotency_key,
        answer_lost: false,
    }
}

/// A job that ends before any intent of this call.
pub fn ends(row: &ClaimRow, state: JobState, problem: Problem, now: Wall) -> Settlement {
    Settlement {
        job: row.job,
        call: None,
        attempts: row.attempts + u32::from(state == JobState::Rejected),
        conflicts: row.conflicts,
        id_map: IdMapChange::Keep,
        act_as: None,
        delivered_revision: None,
        events: vec![events::ended(state, Some(&problem), None, now)],
        to: Transition::Ended {
            state,
            code: Some(problem.code.clone()),
            problem: Some(problem),
            changed: None,
            block_key: None,
        },
    }
}

/// A job that failed before any intent of this call.
pub fn fails(row: &ClaimRow, code: FailureCode, message: &str, now: Wall) -> Settlement {
    ends(
        row,
        JobState::Failed,
        Problem::new(code.as_str(), message),
        now,
    )
}

/// A job that waits for its source. One that has waited for the same before goes on waiting: a
/// source that is down for hours writes no history by the minute.
pub fn waits_for_source(row: &ClaimRow, until: Wall, problem: Problem, now: Wall) -> Settlement {
    let goes_on = row.problem_code.as_ref() == Some(&problem.code);
    let mut settlement = waits(row, WaitingKind::Source, Some(until), problem, now);
    if goes_on {
        settlement.events.clear();
    }
    settlement
}

/// A job that waits, before any intent of this call.
pub fn waits(
    row: &ClaimRow,
    reason: WaitingKind,
    until: Option<Wall>,
    problem: Problem,
    now: Wall,
) -> Settlement {
    Settlement {
        job: row.job,
        call: None,
        attempts: row.attempts,
        conflicts: row.conflicts,
        id_map: IdMapChange::Keep,
        act_as: None,
        delivered_revision: None,
        events: vec![events::waits(reason, until, Some(&problem), None, now)],
        to: Transition::Waits {
            reason: Some(reason),
            until,
            parents: Vec::new(),
            problem: Some(problem),
            keep_pinned: row.pinned.is_some(),
            answer_lost: row.pinned.as_ref().is_some_and(|p| p.answer_lost),
        },
    }
}

/// When the wait that a settlement writes ends by itself.
pub fn due_of(settlement: &Settlement) -> Option<Wall> {
    match &settlement.to {
        Transition::Waits { until, .. } => *until,
        Transition::Ended { .. } => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use egression_core::domain::ids::{ExecutionId, JobSeq};

    use super::*;

    fn row(deliveries: u64, delivered_revision: Option<u64>) -> ClaimRow {
        ClaimRow {
            job: JobSeq(1),
            state: JobState::Waiting,
            object: ObjectKey::new("product", "a"),
            action: Action::Upsert,
            attempts: 0,
            conflicts: 0,
            source: None,
            expires_at: None,
            problem_code: None,
            waits_since: None,
            payload: None,
            revision: None,
            depends_on: Vec::new(),
            traceparent: None,
            pinned: None,
            remotes: Vec::new(),
            delivered_revision,
            deliveries,
        }
    }

    #[test]
    fn deliveries_are_numbered_where_nobody_names_a_revision() {
        let job = JobId {
            execution: ExecutionId(uuid::Uuid::nil()),
            index: 0,
        };
        let told = |row: ClaimRow, revision| {
            let pinned = pin(job, &row, Action::Upsert, Some("{}".to_owned()), revision);
            (pinned.revision, pinned.counted)
        };
        assert_eq!(told(row(0, None), None), (None, Some(1)));
        assert_eq!(told(row(7, None), None), (None, Some(8)));
        assert_eq!(
            told(row(7, None), Some(3)),
            (Some(3), None),
            "the source's own word, whatever was counted"
        );
        assert_eq!(
            told(row(7, Some(1_700_000_000)), None),
            (None, None),
            "a count would look older than what the source named before"
        );
    }
}
