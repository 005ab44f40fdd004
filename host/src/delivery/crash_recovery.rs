//! After a crash: intents that were open, and children whose parents were not delivered.

use std::collections::BTreeMap;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState, State};
use egression_core::time::Wall;

use super::job_store::JobStore;
use super::route::{Route, Routes};
use super::settle::final_state::UNKNOWN_HEAD;
use super::settle::history_events;
use super::settle::settlement_builder::{SettlementBuilder, fails};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::rows::{Changes, ClaimRow, OpenIntent, Settlement, Transition};

/// Jobs that are settled in one transaction.
const MAX_SETTLED_AT_ONCE: usize = 500;

#[derive(Debug)]
pub struct CrashRecovery {
    store: JobStore,
    routes: Routes,
    clock: Clock,
}

impl CrashRecovery {
    pub const fn new(store: JobStore, routes: Routes, clock: Clock) -> Self {
        Self {
            store,
            routes,
            clock,
        }
    }

    /// Settles the intents that were open when the host died. The same bytes are repeated if the
    /// action is idempotent, or if the connector can first be asked whether they arrived; otherwise
    /// the job becomes `unknown` for a person. If the connector is not there, its jobs wait for it.
    /// Returns how many intents were open, and the children that wait for jobs that ended here.
    pub async fn recover(&self) -> Result<(usize, Vec<JobSeq>), StoreError> {
        let open = self.store.store().open_intents().await?;
        let count = open.len();
        let mut orphaned = Vec::new();
        let mut by_connection: BTreeMap<ConnectionId, Vec<OpenIntent>> = BTreeMap::new();
        for intent in open {
            by_connection
                .entry(intent.connection)
                .or_default()
                .push(intent);
        }
        for (connection, intents) in by_connection {
            let route = self.routes.find(connection).await.ok();
            let now = self.clock.wall();
            for chunk in intents.chunks(MAX_SETTLED_AT_ONCE) {
                let settlements = chunk
                    .iter()
                    .map(|intent| recovered(route.as_ref(), intent, now))
                    .collect();
                orphaned.extend(self.store.store().settle(settlements).await?.orphaned);
            }
        }
        Ok((count, orphaned))
    }

    /// Ends children whose parents were not delivered, or not in time.
    pub async fn fail_orphans(&self, orphans: &[JobSeq]) -> Changes {
        let mut changes = Changes::default();
        // Any number of children may wait for one object: no transaction has them all.
        for chunk in orphans.chunks(MAX_SETTLED_AT_ONCE) {
            let ended = self.fail_some(chunk).await.unwrap_or_else(|error| {
                tracing::error!(%error, "cannot end children without parents");
                Changes::default()
            });
            changes.absorb(ended);
        }
        changes
    }

    async fn fail_some(&self, orphans: &[JobSeq]) -> Result<Changes, StoreError> {
        let rows = self.store.claim(orphans).await?;
        let now = self.clock.wall();
        let settlements: Vec<Settlement> = rows
            .iter()
            .filter(|row| row.state == JobState::Waiting)
            .map(|row| orphan_ends(row, now))
            .collect();
        let mut changes = self.store.settle_children(&settlements).await?;
        // They ended outside of a call, so the scheduler looks for the jobs behind them.
        let ended: Vec<JobSeq> = settlements
            .iter()
            .map(|settlement| settlement.job)
            .filter(|job| !changes.stale.contains(job))
            .collect();
        changes.gone.extend(ended);
        Ok(changes)
    }
}

fn recovered(route: Option<&Route>, intent: &OpenIntent, now: Wall) -> Settlement {
    let idempotent = route
        .and_then(|route| route.description().object_type(&intent.object.object_type))
        .is_some_and(|support| support.idempotent_actions.contains(&intent.action));
    let repeats = idempotent || route.is_none_or(Route::reconciles);
    let problem = Problem::new(
        "host.stopped",
        "the host stopped while the job was being sent; it may or may not have arrived",
    );
    let builder =
        SettlementBuilder::after_crash(intent).with([history_events::recovered(repeats, now)]);
    if !repeats {
        return builder.ends(State::Unknown { problem }, Some(UNKNOWN_HEAD));
    }
    builder.to(Transition::Waits {
        reason: None,
        until: None,
        parents: Vec::new(),
        problem: Some(problem),
        keep_pinned: true,
        answer_lost: true,
    })
}

/// A child whose parent was not delivered fails. If one of its own sends may have arrived, a person
/// must find out.
fn orphan_ends(row: &ClaimRow, now: Wall) -> Settlement {
    let code = FailureCode::DependencyFailed;
    if row.pinned.as_ref().is_none_or(|pinned| !pinned.answer_lost) {
        return fails(
            row,
            code,
            "an object that it refers to was not delivered",
            now,
        );
    }
    let message = "an object that it refers to was not delivered; an answer to the job's own send \
                   was lost, so it may have arrived";
    let end = State::Unknown {
        problem: Problem::new(code.as_str(), message),
    };
    SettlementBuilder::before_intent(row)
        .with([history_events::ended(&end, now)])
        .ends(end, Some(UNKNOWN_HEAD))
}
