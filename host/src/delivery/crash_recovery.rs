//! After a crash: intents that were open, and children whose wait ended.

use std::collections::BTreeMap;

use egression_core::domain::ids::{ConnectionId, JobSeq};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState};
use egression_core::time::Wall;

use crate::delivery::deliver::Deliverer;
use crate::delivery::retry_until_stored::retry_until_stored;
use crate::delivery::settle::events;
use crate::delivery::settle::final_state::UNKNOWN_HEAD;
use crate::delivery::work::{Route, ends, fails};
use crate::store::StoreError;
use crate::store::rows::{Changes, ClaimRow, IdMapChange, OpenIntent, Settlement, Transition};

/// Jobs that are settled in one transaction.
const SETTLED_AT_ONCE: usize = 500;

impl Deliverer {
    /// Settles what was open when the host died: a repeat of the same bytes where the action is
    /// idempotent or the connector can be asked first whether they arrived, else `unknown` for a
    /// person. Where the connector cannot be asked what it is, its jobs wait for it. Returns how
    /// many intents were open, and the children that wait for what ended here.
    pub async fn recover(&self) -> Result<(usize, Vec<JobSeq>), StoreError> {
        let open = self.store.open_intents().await?;
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
            let route = self.route(connection).await;
            let settlements: Vec<Settlement> = intents
                .into_iter()
                .map(|intent| {
                    let idempotent = route
                        .as_ref()
                        .and_then(|route| {
                            route.description().object_type(&intent.object.object_type)
                        })
                        .is_some_and(|support| support.idempotent_actions.contains(&intent.action));
                    let reconciles = route.as_ref().is_none_or(Route::reconciles);
                    self.lost(&intent, idempotent || reconciles)
                })
                .collect();
            for chunk in settlements.chunks(SETTLED_AT_ONCE) {
                orphaned.extend(self.store.settle(chunk.to_vec()).await?.orphaned);
            }
        }
        Ok((count, orphaned))
    }

    fn lost(&self, intent: &OpenIntent, repeats: bool) -> Settlement {
        let now = self.clock.wall();
        let problem = Problem::new(
            "host.stopped",
            "the host stopped while the job was being sent; whether it arrived is not known",
        );
        let event = events::note(
            now,
            "recovered",
            serde_json::json!({"repeats": repeats}).to_string(),
        );
        let to = if repeats {
            Transition::Waits {
                reason: None,
                until: None,
                parents: Vec::new(),
                problem: Some(problem),
                keep_pinned: true,
                answer_lost: true,
            }
        } else {
            Transition::Ended {
                state: JobState::Unknown,
                code: Some(problem.code.clone()),
                problem: Some(problem),
                changed: None,
                block_key: Some(UNKNOWN_HEAD.to_owned()),
            }
        };
        Settlement {
            job: intent.job,
            call: Some(intent.call),
            to,
            attempts: intent.attempt,
            conflicts: intent.conflicts,
            id_map: IdMapChange::Keep,
            act_as: None,
            delivered_revision: None,
            events: vec![event],
        }
    }

    /// Ends children whose parents did not get there in time, or at all.
    pub async fn fail_orphans(&self, orphans: &[JobSeq]) -> Changes {
        let mut changes = Changes::default();
        // Any number of children may have waited for one object: no transaction has them all.
        for chunk in orphans.chunks(SETTLED_AT_ONCE) {
            changes.absorb(self.fail_some(chunk).await);
        }
        changes
    }

    async fn fail_some(&self, orphans: &[JobSeq]) -> Changes {
        let rows = match retry_until_stored(&self.clock, || self.store.claim(orphans)).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "children without parents could not be read");
                return Changes::default();
            }
        };
        let now = self.clock.wall();
        let settlements: Vec<Settlement> = rows
            .iter()
            .filter(|row| row.state == JobState::Waiting)
            .map(|row| orphan_ends(row, now))
            .collect();
        match retry_until_stored(&self.clock, || {
            self.store.settle_children(settlements.clone())
        })
        .await
        {
            Ok(mut changes) => {
                // They ended outside of a call, so the scheduler looks for who stood behind them.
                let ended = settlements
                    .iter()
                    .map(|s| s.job)
                    .filter(|job| !changes.stale.contains(job));
                let ended: Vec<JobSeq> = ended.collect();
                changes.gone.extend(ended);
                changes
            }
            Err(error) => {
                tracing::error!(%error, "children without parents could not be ended");
                Changes::default()
            }
        }
    }
}

/// A child whose parent did not get there fails; if one of its own sends may have arrived, that is
/// for a person to find out.
fn orphan_ends(row: &ClaimRow, now: Wall) -> Settlement {
    let code = FailureCode::DependencyFailed;
    if row.pinned.as_ref().is_some_and(|pinned| pinned.answer_lost) {
        let message = "an object that it refers to did not get there, after an answer was lost: it may have arrived itself";
        let mut settlement = ends(
            row,
            JobState::Unknown,
            Problem::new(code.as_str(), message),
            now,
        );
        if let Transition::Ended { block_key, .. } = &mut settlement.to {
            *block_key = Some(UNKNOWN_HEAD.to_owned());
        }
        return settlement;
    }
    fails(
        row,
        code,
        "an object that it refers to did not get there",
        now,
    )
}
