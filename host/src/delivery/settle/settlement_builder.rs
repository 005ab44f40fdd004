//! Builds what the store writes about one job.

use egression_core::domain::action::Action;
use egression_core::domain::ids::JobSeq;
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::history_events;
use crate::delivery::job_store::Parent;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::store::rows::{ClaimRow, IdMapChange, NewEvent, OpenIntent, Settlement, Transition};

/// A settlement that lacks only its transition.
#[derive(Debug)]
pub struct SettlementBuilder {
    job: JobSeq,
    call: Option<i64>,
    pub attempts: u32,
    pub conflicts: u32,
    pub id_map: IdMapChange,
    pub act_as: Option<Action>,
    pub delivered_revision: Option<u64>,
    pub events: Vec<NewEvent>,
}

impl SettlementBuilder {
    /// A job without an intent of this call.
    pub fn before_intent(row: &ClaimRow) -> Self {
        Self::new(row.job, None, row.attempts, row.conflicts)
    }

    /// A job that went with a call.
    pub fn after_call(item: &Work, call: i64) -> Self {
        Self::new(item.row.job, Some(call), item.attempt(), item.row.conflicts)
    }

    /// A job whose intent was open when the host died.
    pub fn after_crash(intent: &OpenIntent) -> Self {
        Self::new(
            intent.job,
            Some(intent.call),
            intent.attempt,
            intent.conflicts,
        )
    }

    const fn new(job: JobSeq, call: Option<i64>, attempts: u32, conflicts: u32) -> Self {
        Self {
            job,
            call,
            attempts,
            conflicts,
            id_map: IdMapChange::Keep,
            act_as: None,
            delivered_revision: None,
            events: Vec::new(),
        }
    }

    /// Adds events to the job's history.
    pub fn with(mut self, events: impl IntoIterator<Item = NewEvent>) -> Self {
        self.events.extend(events);
        self
    }

    /// The job ends in this terminal state.
    pub fn ends(self, end: State, block: Option<&str>) -> Settlement {
        self.to(Transition::Ended {
            end,
            block_key: block.map(str::to_owned),
        })
    }

    pub fn to(self, to: Transition) -> Settlement {
        Settlement {
            job: self.job,
            call: self.call,
            to,
            attempts: self.attempts,
            conflicts: self.conflicts,
            id_map: self.id_map,
            act_as: self.act_as,
            delivered_revision: self.delivered_revision,
            events: self.events,
        }
    }
}

/// A job that ends before any intent of this call. A rejection counts as an attempt.
pub fn ends(row: &ClaimRow, end: State, now: Wall) -> Settlement {
    let mut builder =
        SettlementBuilder::before_intent(row).with([history_events::ended(&end, now)]);
    builder.attempts += u32::from(end.kind() == JobState::Rejected);
    builder.ends(end, None)
}

/// A job that is rejected before any intent of this call.
pub fn rejects(row: &ClaimRow, problem: Problem, now: Wall) -> Settlement {
    ends(row, State::Rejected { problem }, now)
}

/// A job that fails before any intent of this call.
pub fn fails(row: &ClaimRow, code: FailureCode, message: &str, now: Wall) -> Settlement {
    let problem = Problem::new(code.as_str(), message);
    ends(row, State::Failed { code, problem }, now)
}

/// A job that waits, before any intent of this call.
pub fn waits(
    row: &ClaimRow,
    reason: WaitingKind,
    until: Option<Wall>,
    problem: Problem,
    now: Wall,
) -> Settlement {
    SettlementBuilder::before_intent(row)
        .with([history_events::waits(
            reason,
            until,
            Some(&problem),
            None,
            now,
        )])
        .to(Transition::Waits {
            reason: Some(reason),
            until,
            parents: Vec::new(),
            problem: Some(problem),
            keep_pinned: row.pinned.is_some(),
            answer_lost: row.pinned.as_ref().is_some_and(|pinned| pinned.answer_lost),
        })
}

/// A job that waits for objects, for at most the channel's `parent_wait_ms` since its first wait.
pub fn waits_for_parents(
    route: &Route,
    row: &ClaimRow,
    parents: Vec<Parent>,
    now: Wall,
) -> Settlement {
    let wait_ms = i64::try_from(route.channel.parent_wait_ms).unwrap_or(i64::MAX);
    let until = row.waits_since.unwrap_or(now).plus_ms(wait_ms);
    let names: Vec<String> = parents
        .iter()
        .map(|(object, _)| object.to_string())
        .collect();
    let message = format!("waits for {}", names.join(", "));
    let problem = Problem::new("dependency.missing", message);
    let mut settlement = waits(row, WaitingKind::Dependency, Some(until), problem, now);
    if let Transition::Waits { parents: slots, .. } = &mut settlement.to {
        *slots = parents;
    }
    settlement
}
