//! How a verdict ends a job: its state, what becomes of the id map, and whether its key is blocked
//! behind it.

use egression_core::domain::action::Action;
use egression_core::domain::judge::{CODE_ACCEPTED_NO_POLL, Verdict};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, JobState};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use crate::delivery::settle::events;
use crate::delivery::work::{Route, Work};
use crate::documents::model::OnFailure;
use crate::store::rows::{IdMapChange, Settlement, Transition};

/// Why the key of an `unknown` head is blocked.
pub const UNKNOWN_HEAD: &str = "the outcome of its head is unknown";

/// Writes the end into a settlement. A verdict that the job goes again is no end and changes
/// nothing.
pub fn end(route: &Route, item: &Work, verdict: Verdict, now: Wall, settlement: &mut Settlement) {
    let channel = &route.channel;
    let blocks = |rule: OnFailure, why: &str| (rule == OnFailure::Block).then(|| why.to_owned());
    let (state, code, problem, changed, block_key) = match verdict {
        Verdict::Succeeded {
            remotes,
            changed,
            warnings,
            drop_id_map,
        } => {
            settlement.id_map = match (drop_id_map, remotes.is_empty()) {
                (true, _) => IdMapChange::Drop,
                (false, false) => IdMapChange::Replace(remotes),
                (false, true) => IdMapChange::Keep,
            };
            settlement.delivered_revision = item
                .pinned
                .revision
                .filter(|_| item.action != Action::Delete);
            if !warnings.is_empty() {
                let detail = serde_json::to_string(&warnings).unwrap_or_default();
                settlement.events.push(events::note(now, "warned", detail));
            }
            (JobState::Succeeded, None, None, Some(changed), None)
        }
        Verdict::Rejected(problem) => {
            let block = blocks(channel.on_rejected, "its head was rejected");
            (
                JobState::Rejected,
                Some(problem.code.clone()),
                Some(problem),
                None,
                block,
            )
        }
        Verdict::Exhausted { problem } => {
            if channel.on_exhausted == OnFailure::Block {
                waits_blocked(problem, now, settlement);
                return;
            }
            (
                JobState::Failed,
                Some(FailureCode::RetriesExhausted.as_str().to_owned()),
                Some(problem),
                None,
                None,
            )
        }
        Verdict::Accepted { token, .. } => {
            let message = format!(
                "the destination took it as {token} and decides later; this host does not ask for decisions yet"
            );
            let problem = Problem::new(CODE_ACCEPTED_NO_POLL, message);
            (
                JobState::Unknown,
                Some(problem.code.clone()),
                Some(problem),
                None,
                Some(UNKNOWN_HEAD.to_owned()),
            )
        }
        Verdict::Unknown(problem) => (
            JobState::Unknown,
            Some(problem.code.clone()),
            Some(problem),
            None,
            Some(UNKNOWN_HEAD.to_owned()),
        ),
        Verdict::Again(_) => return,
    };
    settlement
        .events
        .push(events::ended(state, problem.as_ref(), changed, now));
    settlement.to = Transition::Ended {
        state,
        code,
        problem,
        changed,
        block_key,
    };
}

/// Its attempts are used up and the channel keeps the key for a person: the job stays waiting at
/// its head.
fn waits_blocked(problem: Problem, now: Wall, settlement: &mut Settlement) {
    settlement.events.push(events::waits(
        WaitingKind::Blocked,
        None,
        Some(&problem),
        Some(settlement.attempts),
        now,
    ));
    settlement.to = Transition::Waits {
        reason: Some(WaitingKind::Blocked),
        until: None,
        parents: Vec::new(),
        problem: Some(problem),
        keep_pinned: true,
        answer_lost: false,
    };
}
