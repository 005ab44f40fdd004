//! How a verdict ends a job: its state, the change of the id map, and whether its key is blocked
//! behind it.

use egression_core::domain::action::Action;
use egression_core::domain::judge::{CODE_ACCEPTED_NO_POLL, Verdict};
use egression_core::domain::problem::Problem;
use egression_core::domain::state::{FailureCode, State};
use egression_core::domain::waiting::WaitingKind;
use egression_core::time::Wall;

use super::history_events;
use super::settlement_builder::SettlementBuilder;
use crate::delivery::job_with_bytes::Work;
use crate::delivery::route::Route;
use crate::documents::model::OnFailure;
use crate::store::rows::{IdMapChange, Settlement, Transition};

/// Why the key of an `unknown` head is blocked.
pub const UNKNOWN_HEAD: &str = "the outcome of its head is unknown";

/// Completes a settlement with the job's end.
pub fn end(
    mut builder: SettlementBuilder,
    route: &Route,
    item: &Work,
    verdict: Verdict,
    now: Wall,
) -> Settlement {
    let (end, block) = match verdict {
        Verdict::Succeeded {
            remotes,
            changed,
            warnings,
            drop_id_map,
        } => {
            builder.id_map = match (drop_id_map, remotes.is_empty()) {
                (true, _) => IdMapChange::Drop,
                (false, false) => IdMapChange::Replace(remotes),
                (false, true) => IdMapChange::Keep,
            };
            if item.action() != Action::Delete {
                builder.delivered_revision = item.pinned.revision;
            }
            if !warnings.is_empty() {
                builder.events.push(history_events::warned(&warnings, now));
            }
            (State::Succeeded { changed }, None)
        }
        Verdict::Exhausted { problem } if route.channel.on_exhausted == OnFailure::Block => {
            return blocks(builder, problem, now);
        }
        Verdict::Exhausted { problem } => {
            let code = FailureCode::RetriesExhausted;
            (State::Failed { code, problem }, None)
        }
        Verdict::Rejected(problem) => {
            let blocks = route.channel.on_rejected == OnFailure::Block;
            let block = blocks.then_some("its head was rejected");
            (State::Rejected { problem }, block)
        }
        Verdict::Accepted { token, .. } => {
            let message = format!(
                "the destination accepted it as {token} and decides later; this host cannot ask \
                 for the decision yet"
            );
            let problem = Problem::new(CODE_ACCEPTED_NO_POLL, message);
            (State::Unknown { problem }, Some(UNKNOWN_HEAD))
        }
        Verdict::Unknown(problem) => (State::Unknown { problem }, Some(UNKNOWN_HEAD)),
        // Not an end: the job may go again at once.
        Verdict::Again(again) => {
            return builder.to(Transition::Waits {
                reason: None,
                until: None,
                parents: Vec::new(),
                problem: again.problem,
                keep_pinned: again.keep_pinned,
                answer_lost: again.answer_lost,
            });
        }
    };
    builder.events.push(history_events::ended(&end, now));
    builder.ends(end, block)
}

/// The attempts are used up and the channel keeps the key for a person: the job stays at the head
/// of its key and waits.
fn blocks(builder: SettlementBuilder, problem: Problem, now: Wall) -> Settlement {
    let reason = WaitingKind::Blocked;
    let attempts = builder.attempts;
    builder
        .with([history_events::waits(
            reason,
            None,
            Some(&problem),
            Some(attempts),
            now,
        )])
        .to(Transition::Waits {
            reason: Some(reason),
            until: None,
            parents: Vec::new(),
            problem: Some(problem),
            keep_pinned: true,
            answer_lost: false,
        })
}
